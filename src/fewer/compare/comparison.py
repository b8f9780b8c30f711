"""A comparison: arms x budgets x seeds on one task, each cell measured once and kept."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fewer.compare.result import ArmFacts, Results, Row
from fewer.compare.store import Store, key_of
from fewer.compare.task import Measurement, Task
from fewer.core.budget import Density
from fewer.core.method import Method
from fewer.errors import MethodError
from fewer.measure.environment import environment

VERSION = 1
"""Raise this when a change of code changes what a cell measures: stored cells of other versions are measured again."""


class Cell(NamedTuple):
    """One measurement to make."""

    arm: str
    budget: float
    seed: int
    key: str
    """Under which it is stored; cells that cannot differ share one."""


Progress = Callable[[int, int, Cell], None]
"""Called before each cell with (cells done, cells in all, the cell)."""


@dataclass(frozen=True)
class Comparison:
    """Arms beside each other under equal budgets. Every comparison should have a dense and a random arm."""

    name: str
    task: Task
    arms: Mapping[str, Method]
    budgets: Sequence[float]
    """Densities: shares kept."""
    seeds: Sequence[int] = (0, 1, 2)
    title: str = ""
    twins: Mapping[str, str] = field(default_factory=dict)
    """Random arm -> the arm whose twin it is."""

    def __post_init__(self) -> None:
        if not self.arms or not self.seeds or not self.budgets:
            raise MethodError(f"the comparison {self.name} needs at least one arm, one budget and one seed.")
        for budget in self.budgets:
            Density(budget)

    def cells(self) -> Iterator[Cell]:
        """In the order in which they are worth having: dense first, then budget by budget, seed by seed."""
        budgets = {name: [1.0] if arm.kind == "dense" else list(self.budgets) for name, arm in self.arms.items()}
        every = dict.fromkeys(b for bs in budgets.values() for b in sorted(bs, reverse=True))
        for budget in sorted(every, reverse=True):
            for seed in self.seeds:
                for name in self.arms:
                    if budget in budgets[name]:
                        yield Cell(name, budget, seed, self._key(name, budget, seed))

    def _key(self, arm: str, budget: float, seed: int) -> str:
        method = self.arms[arm]
        return key_of(
            {
                "version": VERSION,
                "task": self.task.configuration(),
                "arm": method.configuration(),
                "budget": budget,
                "seed": seed if self.task.depends_on_seed(method) else None,
            }
        )

    def run(self, folder: str | Path | None = None, progress: Progress | None = None) -> Results:
        """Measure what `folder` does not hold yet, and return all of it. Without a folder nothing is kept.

        A cell that was measured is on disk before the next one begins, so that a run that is cut off goes on from there.
        """
        started = time.perf_counter()
        cells = list(self.cells())
        found: dict[str, tuple[Measurement, float]] = {}
        if folder is None:
            self._measure(cells, found, progress, None)
        else:
            with Store(folder) as store:
                found.update({c.key: kept for c in cells if (kept := store.get(c.key))})
                self._measure(cells, found, progress, store)
        return self._results(cells, found, time.perf_counter() - started)

    def _measure(
        self,
        cells: Sequence[Cell],
        found: dict[str, tuple[Measurement, float]],
        progress: Progress | None,
        store: Store | None,
    ) -> None:
        todo = {c.key: c for c in reversed(cells) if c.key not in found}
        ordered = [c for c in cells if todo.get(c.key) is c]
        try:
            for done, cell in enumerate(ordered):
                if progress is not None:
                    progress(done, len(ordered), cell)
                begun = time.perf_counter()
                method = self.arms[cell.arm].with_seed(cell.seed)
                measurement = self.task.measure(method, Density(cell.budget), cell.seed)
                seconds = time.perf_counter() - begun
                if store is not None:
                    store.put(cell.key, measurement, seconds)
                found[cell.key] = (measurement, seconds)
        finally:
            self.task.close()

    def _results(self, cells: Sequence[Cell], found: Mapping[str, tuple[Measurement, float]], seconds: float) -> Results:
        rows, first = [], set()
        for cell in cells:
            measured, took = found[cell.key]
            detail = {**measured.detail, **({"shared": True} if cell.key in first else {})}
            first.add(cell.key)
            rows.append(Row(cell.arm, cell.budget, cell.seed, measured.quality, measured.cost, detail, took))
        return Results(
            name=self.name,
            title=self.title or self.name,
            data=self.task.data,
            quality=dict(self.task.quality),
            arms={name: self._facts(name, arm) for name, arm in self.arms.items()},
            budgets=list(self.budgets),
            seeds=list(self.seeds),
            rows=rows,
            configuration={"task": self.task.configuration(), "budgets": list(self.budgets), "seeds": list(self.seeds)},
            environment=environment(),
            seconds=seconds,
        )

    def _facts(self, name: str, arm: Method) -> ArmFacts:
        return ArmFacts(
            kind=arm.kind,
            label=name,
            phase=arm.phase,
            needs_data=arm.needs_data,
            needs_pretrained=arm.needs_pretrained,
            pattern=str(getattr(arm, "pattern", "")),
            twin_of=self.twins.get(name, ""),
            configuration=arm.configuration(),
        )
