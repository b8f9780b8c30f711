"""When a mask is renewed, and which share of it."""

import dataclasses
from dataclasses import dataclass
from typing import TypeVar

from fewer.core import Cosine, Density
from fewer.errors import ScheduleError

T = TypeVar("T")


@dataclass(frozen=True)
class Updates:
    """Every so many steps a share of the active weights moves; the share falls by a cosine to 0 (arXiv 1911.11134, sec. 3)."""

    fraction: float = 0.3
    """Share of each layer's active weights that moves at first."""
    every: int = 100
    """Steps between updates. On small data scale it, to some 30 updates a run."""
    until: float = 0.75
    """Share of the training after which nothing moves any more."""

    def __post_init__(self) -> None:
        Density(self.fraction), Density(self.until)
        if self.every < 1:
            raise ScheduleError(f"updates come every 1 step or less often, not every {self.every}.")

    def share(self, step: int, steps: int) -> float:
        """Share that moves after `step` of `steps` optimiser steps; 0 when no update is due."""
        end = int(self.until * steps)
        if not 0 < step < end or step % self.every:
            return 0.0
        return Cosine(start=self.fraction, end=0.0, finish=end).at(step)


def paced(method: T, steps: int, times: int = 30) -> T:
    """`method` with its `updates` so close that they come some `times` in a training of `steps`, if they were further apart."""
    updates = getattr(method, "updates", None)
    if not isinstance(updates, Updates):
        return method
    every = min(updates.every, max(1, int(updates.until * steps / times)))
    return dataclasses.replace(method, updates=dataclasses.replace(updates, every=every))  # type: ignore[type-var]
