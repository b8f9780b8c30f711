"""Actors that each serve one shard: asked together, waited for so long and no longer, restarted from their files when lost."""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from fewer.errors import FewerError, MissingExtraError


class Served(Protocol):
    """What an actor serves: opened from files in the actor's own process."""

    def answer(self, question: Any) -> Any:
        """Must not change what is served."""

    def __len__(self) -> int: ...


class Shards:
    """One actor for each of `openers`. The caller closes it.

    Ray restarts an actor whose process or machine died, and it opens its files again. Until then, and while an earlier question
    to it is still open, it does not answer.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, openers: Sequence[Callable[[], Served]]):
        self._ray = connect(len(openers))
        # They reserve no processor, so that more shards than processors can be opened.
        options = {"num_cpus": 0, "scheduling_strategy": "SPREAD", "max_restarts": -1, "max_task_retries": 0}
        self._actor = self._ray.remote(**options)(_Shard)
        self._openers = list(openers)
        self._actors = [self._actor.remote(opener) for opener in openers]
        self._open: list[Any] = [None] * len(openers)
        """The last question to each that was not answered in time."""

    def __len__(self) -> int:
        return len(self._actors)

    def sizes(self) -> list[int]:
        """Documents of each shard; waits until all are open, and raises what kept one from it."""
        try:
            return list(self._ray.get([actor.size.remote() for actor in self._actors]))
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None

    def ask(self, question: Any, timeout: float | None) -> dict[int, Any]:
        """The answers of those shards that gave one within `timeout` seconds (None: however long), by shard number.

        Whatever a shard raises, other than that it or its files are lost, is raised here.
        """
        shared = self._ray.put(question)
        asked: dict[Any, int] = {}
        for number, actor in enumerate(self._actors):
            if not self._busy(number):
                asked[self._begin(number, actor, shared)] = number
        ready, late = self._ray.wait(list(asked), num_returns=len(asked), timeout=timeout) if asked else ([], [])
        for reference in late:
            self._open[asked[reference]] = reference
        answers = {}
        for reference in ready:
            try:
                answer = self._ray.get(reference)
                if not isinstance(answer, _NotOpen):
                    answers[asked[reference]] = answer
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._ray.exceptions.ActorUnavailableError:
                pass  # Ray is restarting it
            except self._ray.exceptions.ActorDiedError:
                self._actors[asked[reference]] = self._actor.remote(self._openers[asked[reference]])
        return answers

    def pids(self) -> list[int]:
        """Process numbers of the actors."""
        return list(self._ray.get([actor.pid.remote() for actor in self._actors]))

    def close(self) -> None:
        """End the actors; the cluster stays."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors.clear()

    def _begin(self, number: int, actor: Any, question: Any) -> Any:
        self._open[number] = None
        return actor.answer.remote(question)

    def _busy(self, number: int) -> bool:
        """Whether its last question is still open: another one would only wait behind it."""
        open_ = self._open[number]
        return open_ is not None and not self._ray.wait([open_], timeout=0)[0]


class _NotOpen(NamedTuple):
    """In place of an answer."""

    reason: str


class _Shard:
    """Lives in the actor's process; files that cannot be opened now are tried again at the next question."""

    def __init__(self, opener: Callable[[], Served]):
        self._opener = opener
        self._served: Served | None = None
        with suppress(FewerError):
            self._open()

    def answer(self, question: Any) -> Any:
        try:
            served = self._open()
        except FewerError as error:
            return _NotOpen(str(error))
        return served.answer(question)

    def size(self) -> int:
        return len(self._open())

    def _open(self) -> Served:
        if self._served is None:
            self._served = self._opener()
        return self._served

    def pid(self) -> int:
        return os.getpid()


def connect(shards: int) -> Any:
    """Ray, connected to the cluster of this process, or that RAY_ADDRESS names; else to one on this machine, large enough.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError('shards need Ray, which is not installed: pip install "fewer[ray]".') from None
    if not ray.is_initialized():
        local: dict[str, Any] = {"num_cpus": max(shards, os.cpu_count() or 1), "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **({} if os.environ.get("RAY_ADDRESS") else local))
    return ray
