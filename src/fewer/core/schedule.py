"""Schedules: how the density moves over training steps, and on which steps a selection is renewed."""

import math
from dataclasses import dataclass

from fewer.core.budget import Density
from fewer.errors import ScheduleError


@dataclass(frozen=True)
class Schedule:
    """Density from `start` at step `begin` to `end` at step `finish`; flat before and after.

    A subclass says how far along it is: `progress` maps the share of steps passed, in [0, 1], to the share of the
    way from start to end. A selection is renewed every `every` steps inside [begin, finish].
    """

    start: float = 1.0
    end: float = 0.5
    begin: int = 0
    finish: int = 1
    every: int = 1

    def __post_init__(self) -> None:
        Density(self.start), Density(self.end)
        if not 0 <= self.begin <= self.finish or self.every < 1:
            raise ScheduleError(
                "a schedule needs 0 <= begin <= finish and every >= 1, "
                f"not begin={self.begin}, finish={self.finish}, every={self.every}."
            )

    def progress(self, passed: float) -> float:
        raise NotImplementedError

    def at(self, step: int) -> float:
        """Density in force at `step` (0-based). Raises ScheduleError for a negative step."""
        if step < 0:
            raise ScheduleError(f"a step must be at least 0, not {step}.")
        if step < self.begin or step == self.begin < self.finish:
            return self.start
        if step >= self.finish:
            return self.end
        return self.start + (self.end - self.start) * self.progress((step - self.begin) / (self.finish - self.begin))

    def due(self, step: int) -> bool:
        """Is the selection renewed at `step`?"""
        return self.begin <= step <= self.finish and ((step - self.begin) % self.every == 0 or step == self.finish)


@dataclass(frozen=True)
class Constant(Schedule):
    """`end` from the first step on; `Constant.of(0.3)` is the short form."""

    start: float = 0.5
    begin: int = 0
    finish: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start != self.end:
            raise ScheduleError(f"a constant schedule has one density, not {self.start} and {self.end}.")

    @classmethod
    def of(cls, density: float) -> "Constant":
        return cls(start=density, end=density)

    def progress(self, passed: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Linear(Schedule):
    """In equal steps."""

    def progress(self, passed: float) -> float:
        return passed


@dataclass(frozen=True)
class Cubic(Schedule):
    """Fast at first, slow at the end: 1 - (1 - t)^3 (Zhu & Gupta 2017, arXiv 1710.01878, eq. 1)."""

    def progress(self, passed: float) -> float:
        return 1 - (1 - passed) ** 3


@dataclass(frozen=True)
class Cosine(Schedule):
    """Slow, fast, slow: (1 - cos(pi t)) / 2."""

    def progress(self, passed: float) -> float:
        return (1 - math.cos(math.pi * passed)) / 2


@dataclass(frozen=True)
class Steps(Schedule):
    """`stages` equal jumps; the last one lands on `end` before `finish`."""

    stages: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stages < 1:
            raise ScheduleError(f"a stepped schedule needs at least 1 stage, not {self.stages}.")

    def progress(self, passed: float) -> float:
        return min(self.stages, math.floor(passed * self.stages) + 1) / self.stages


@dataclass(frozen=True)
class Decay(Schedule):
    """Exponential: the distance to `end` falls by the factor `rate` over the whole way, then to zero at `finish`."""

    rate: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.rate < 1:
            raise ScheduleError(f"a decay rate must lie in (0, 1), not {self.rate}.")

    def progress(self, passed: float) -> float:
        return 1 - self.rate**passed
