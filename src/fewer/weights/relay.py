"""A relay: several forward passes that advance together, each waiting at every stop until all have reached it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import greenlet

from fewer.errors import CalibrationError


class Stop(NamedTuple):
    """Where all passes wait, and what each of them brought."""

    name: str
    brought: list[Any]


class _Finish(greenlet.GreenletExit):
    """Ends a pass whose last stop is behind it."""


class Relay:
    """Runs `passes` in turns, on one thread.

    Code inside a pass calls `wait(name, thing)` where something has to be known of all passes before any goes on: a layer
    that is pruned the moment its input is known. So one forward over the calibration data is enough, and of every
    pass only what it needs to go on is held. Switching costs about a microsecond; no operating-system thread is involved, so
    that thread pools and grad mode are the caller's.
    """

    def __init__(self, passes: Sequence[Callable[[], object]]):
        self._runners = [greenlet.greenlet(run) for run in passes]
        self._home = greenlet.getcurrent()

    def wait(self, name: str, thing: Any = None) -> None:
        """Called inside a pass: hand over until every pass has come to `name`."""
        self._home.switch((name, thing))

    def stops(self) -> Iterator[Stop]:
        """The stops in order; the passes go on when the next one is asked for.

        Raises:
            CalibrationError: when the passes come to different stops (a model that routes by content).
        """
        try:
            while True:
                arrivals = [runner.switch() for runner in self._runners]
                running = [not runner.dead for runner in self._runners]
                if not any(running):
                    return
                names = {arrival[0] if alive else "its end" for arrival, alive in zip(arrivals, running, strict=True)}
                if len(names) > 1:
                    raise CalibrationError(
                        f"the calibration sequences take different ways through the model ({', '.join(sorted(names))}). "
                        'Walk it block by block: mode="block".'
                    )
                yield Stop(names.pop(), [thing for _, thing in arrivals])
        finally:
            self.close()

    def close(self) -> None:
        """End every pass that still waits; their frames are unwound."""
        for runner in self._runners:
            if not runner.dead and runner:
                runner.throw(_Finish)
