"""Reading an arm's numbers out of the rows, and estimating from few seeds."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from fewer.compare.result import ArmFacts, Results, Row
from fewer.errors import StoreError
from fewer.measure.statistics import t_interval

ENOUGH = 3
"""Seeds below which nothing is judged."""


class Reading(NamedTuple):
    """One seed's number."""

    value: float
    fresh: bool
    """False where another seed's cell stands for it: it is then no evidence of its own."""


Readings = dict[int, Reading]
"""seed -> reading"""


class Estimate(NamedTuple):
    """Mean over seeds with its 95% interval; NaN where that is unknown."""

    mean: float
    low: float
    high: float
    seeds: int
    """Fresh readings behind it."""

    @property
    def enough(self) -> bool:
        """May it be judged?"""
        return self.seeds >= ENOUGH and not math.isnan(self.low)


def estimate(readings: Iterable[Reading]) -> Estimate | None:
    """None without readings. Depends on the set of values alone, to the last bit: not on their order or their seeds."""
    found = sorted(readings)
    if not found:
        return None
    fresh = sum(r.fresh for r in found)
    values = [r.value for r in found]
    if any(math.isnan(v) for v in values) or {math.inf, -math.inf} <= set(values):
        return Estimate(math.nan, math.nan, math.nan, fresh)
    interval = t_interval(values)
    return Estimate(interval.mean, interval.low, interval.high, fresh)


def paired(a: Readings, b: Readings, of: Callable[[float, float], float]) -> Estimate | None:
    """`of(a, b)` for each seed that both have; a pair is fresh when one of its sides is."""
    return estimate(Reading(of(a[seed].value, b[seed].value), a[seed].fresh or b[seed].fresh) for seed in a if seed in b)


def difference(a: float, b: float) -> float:
    return a - b


def ratio(a: float, b: float) -> float:
    """NaN where `b` is 0."""
    return a / b if b else math.nan


@dataclass(frozen=True)
class Subject:
    """An arm at a budget: what a part of the card is about."""

    results: Results
    arm: str
    budget: float

    @property
    def facts(self) -> ArmFacts:
        return self.results.arms[self.arm]

    @property
    def measure(self) -> str:
        """The quality that matters most."""
        return self.results.primary

    @property
    def higher_is_better(self) -> bool:
        return self.results.quality[self.measure] == "higher"

    def rows(self) -> list[Row]:
        return self.results.of(self.arm, self.budget)

    def read(self, name: str) -> Readings:
        """A fact, quality or cost of the arm."""
        return _read(self.rows(), name)

    def metric(self) -> Readings:
        return self.read(self.measure)

    def dense(self, name: str) -> Readings:
        """A fact, quality or cost of the dense arm; {} when the comparison has none."""
        try:
            dense = self.results.dense()
        except StoreError:
            return {}
        return _read(self.results.of(dense), name)

    def of_arm(self, arm: str) -> Readings:
        """The main quality of another arm at the same budget."""
        return _read(self.results.of(arm, self.budget), self.measure)

    def ratios(self, arm: str) -> dict[str, float]:
        """Density of every layer of an arm at the same budget, where its rows say so."""
        rows = self.results.of(arm, self.budget)
        layers = rows[0].detail.get("layers", []) if rows else []
        return {layer["name"]: layer["density"] for layer in layers}


def _read(rows: list[Row], name: str) -> Readings:
    found = {}
    for row in rows:
        for where in (row.detail.get("facts") or {}, row.quality, row.cost):
            value = where.get(name)
            if value is not None:
                found[row.seed] = Reading(float(value), not row.detail.get("shared", False))
                break
    return found
