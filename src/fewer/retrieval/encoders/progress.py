"""How far a long computation is, on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 5.0
"""Seconds between lines where standard error is no terminal; what takes less says nothing there."""


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A call that says how many more are done: a bar with the time left on a terminal, now and then a line elsewhere."""
    if total and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda count: bar.advance(task, count)
        return
    done, began, said = 0, time.monotonic(), time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, said
        done, now = done + count, time.monotonic()
        if now - said > PATIENCE:
            said = now
            left = (now - began) / done * (total - done)
            print(f"{title}: {done:,} of {total:,}, {left:.0f} s left", file=sys.stderr, flush=True)

    yield advance
