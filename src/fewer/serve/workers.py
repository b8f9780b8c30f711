"""A bounded pool of threads: searches run beside each other there, and the event loop stays free."""

import asyncio
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")
WAITING = 256
"""Requests that may wait for a thread."""


class BusyError(Exception):
    """More requests wait than may."""


class Workers:
    """`run` calls a function on one of `threads` threads; at most `waiting` calls wait for one."""

    def __init__(self, threads: int | None = None, waiting: int = WAITING):
        self.threads = threads or max(2, os.cpu_count() or 1)
        self._most = self.threads + waiting
        self._inside = 0
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="fewer-serve")

    async def run(self, function: Callable[..., Result], *args: Any, **named: Any) -> Result:
        """Its result. Raises BusyError at once when too many wait."""
        if self._inside >= self._most:
            raise BusyError
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(function, *args, **named))
        finally:
            self._inside -= 1

    def close(self) -> None:
        """Waits for what runs."""
        self._pool.shutdown()
