"""Results of a comparison: rows of measurements, and the statistics that a reader asks of them."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fewer.compare.task import Direction
from fewer.errors import StoreError
from fewer.files import write_whole
from fewer.measure.statistics import Interval, paired_difference, t_interval


@dataclass(frozen=True)
class Row:
    """One cell: an arm at a budget with a seed."""

    arm: str
    budget: float
    """Density that was asked for; 1.0 for a dense arm."""
    seed: int
    quality: dict[str, float]
    cost: dict[str, float]
    detail: dict[str, Any] = field(default_factory=dict)
    """`layers`: [{name, shape, density, error, histogram: {edges, kept, dropped}}]; `facts`: {name: number} (ten lessons);
    `shared`: true where another seed's cell stands for this one because the arm does not depend on the seed."""
    seconds: float = 0.0


@dataclass(frozen=True)
class ArmFacts:
    """What an arm says of itself, and by which it may be compared (the ten lessons, item 6)."""

    kind: str
    """dense, random or method."""
    label: str
    phase: str = "after"
    """before, during or after training."""
    needs_data: bool = False
    needs_pretrained: bool = False
    pattern: str = ""
    twin_of: str = ""
    """The arm whose random twin this is, if any."""
    configuration: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """A finished comparison, or as much of it as is finished."""

    name: str
    title: str
    data: str
    quality: dict[str, Direction]
    arms: dict[str, ArmFacts]
    budgets: list[float]
    seeds: list[int]
    rows: list[Row]
    configuration: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def primary(self) -> str:
        """The quality measure that matters most."""
        return next(iter(self.quality))

    def dense(self) -> str:
        """Name of the dense arm. Raises StoreError when there is none."""
        for name, facts in self.arms.items():
            if facts.kind == "dense":
                return name
        raise StoreError(f"{self.name} has no dense arm; its arms are {', '.join(self.arms)}.")

    def of(self, arm: str, budget: float | None = None) -> list[Row]:
        """Rows of `arm` at `budget` (all budgets for None; a dense arm has one budget, which stands for every other)."""
        if arm in self.arms and self.arms[arm].kind == "dense":
            budget = None
        return [r for r in self.rows if r.arm == arm and (budget is None or math.isclose(r.budget, budget))]

    def values(self, arm: str, budget: float, measure: str) -> dict[int, float]:
        """seed -> value of a quality or a cost; seeds where it was not measured are left out."""
        found = {}
        for row in self.of(arm, budget):
            for where in (row.quality, row.cost):
                if measure in where:
                    found[row.seed] = where[measure]
        return found

    def summary(self, arm: str, budget: float, measure: str) -> Interval:
        """Mean over seeds with its 95% interval."""
        return t_interval(list(self.values(arm, budget, measure).values()))

    def versus(self, arm: str, other: str, budget: float, measure: str) -> Interval:
        """Paired difference arm - other over the seeds that both have, with its 95% interval."""
        return paired_difference(self.values(arm, budget, measure), self.values(other, budget, measure))

    def fixed(self, arm: str, budget: float) -> bool:
        """Does one measurement stand for all seeds of `arm`?"""
        rows = self.of(arm, budget)
        return len(rows) > 1 and sum(not row.detail.get("shared", False) for row in rows) == 1

    def costs(self) -> list[str]:
        """Names of all costs that any row carries, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row.cost))

    def show(self) -> None:
        """Print the tables, as wide as the terminal."""
        from rich.console import Console

        from fewer.compare.terminal import table

        Console().print(table(self))

    def save(self, folder: str | Path) -> Path:
        """Write `folder`/results.json, whole or not at all. Raises StoreError when it cannot be written."""
        path = Path(folder) / "results.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return write_whole(path, self.to_json())
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror or error}. Give another folder.") from None

    def html(self, path: str | Path) -> Path:
        """Write one self-contained page, with the ten-lessons card. Raises StoreError when it cannot be written."""
        from fewer.compare.html import write
        from fewer.compare.lessons import card

        try:
            return write(path, self, card(self))
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror or error}. Give another path.") from None

    def to_json(self) -> str:
        """The whole of it; floats that JSON cannot hold (infinite, NaN) become null."""
        return json.dumps(finite(asdict(self)), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Results":
        """Raises StoreError when the text is not what `to_json` wrote."""
        try:
            plain = json.loads(text)
            rows = [
                Row(**{**row, "quality": _numbers(row["quality"]), "cost": _numbers(row["cost"])}) for row in plain.pop("rows")
            ]
            arms = {name: ArmFacts(**facts) for name, facts in plain.pop("arms").items()}
            return cls(**plain, rows=rows, arms=arms)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(f"this is no saved comparison: {error}. `fewer compare --out` writes one.") from None

    @classmethod
    def load(cls, path: str | Path) -> "Results":
        """Read `path`, or `path`/results.json. Raises StoreError when it is not there or damaged."""
        path = Path(path)
        path = path / "results.json" if path.is_dir() else path
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{path} cannot be read: {error}. Give a folder that `fewer compare --out` wrote.") from None


def finite(value: Any) -> Any:
    """The same with null for every number that JSON cannot hold, and lists for other sequences."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [finite(v) for v in value]
    return value


def _numbers(values: dict[str, float | None]) -> dict[str, float]:
    return {name: math.inf if value is None else value for name, value in values.items()}
