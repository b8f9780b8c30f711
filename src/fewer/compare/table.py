"""The main table of a comparison, before anyone draws it: which arms, in which order, with which figures."""

import math
from dataclasses import dataclass

from fewer.compare.result import Results
from fewer.compare.task import Direction
from fewer.compare.wording import MISSING, NOTHING, Scale, estimate, scale
from fewer.measure.statistics import Interval

UNSEEN = Interval(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class Column:
    """One measure, or its paired difference to another arm."""

    measure: str
    scale: Scale
    better: Direction
    """Costs are better lower."""
    against: str = ""
    """"" for the measure itself, dense or random for the difference to that arm."""
    cost: bool = False

    @property
    def heading(self) -> str:
        """Title, unit and an arrow for the better direction."""
        if self.against:
            return f"vs {self.against}"
        return f"{self.scale.heading} {'↓' if self.better == 'lower' else '↑'}"


@dataclass(frozen=True)
class Figure:
    """What stands in one cell of the table."""

    interval: Interval
    """In the column's unit; UNSEEN where nothing is measured."""
    mean: str
    spread: str
    """Half width of the 95% interval as text; "one seed"; or empty, where there is nothing to spread."""
    ratio: float = math.nan
    """A cost's mean over dense's; NaN where there is none."""

    @property
    def text(self) -> str:
        return f"{self.mean} {self.spread}".strip()


@dataclass(frozen=True)
class Line:
    """One arm at one budget."""

    arm: str
    label: str
    kind: str
    seeds: str
    figures: tuple[Figure, ...]
    """One for each column."""


@dataclass(frozen=True)
class Block:
    """The arms at one budget, dense first, methods from best to worst, random last."""

    budget: float
    lines: tuple[Line, ...]


def columns(results: Results) -> tuple[Column, ...]:
    """Every quality with its differences to dense and random, the primary first, then every cost."""
    found: list[Column] = []
    kinds = {facts.kind for facts in results.arms.values()}
    for measure, better in results.quality.items():
        shown = _scale(results, measure)
        found.append(Column(measure, shown, better))
        found += [Column(measure, shown, better, other) for other in ("dense", "random") if other in kinds]
    return (*found, *(Column(cost, _scale(results, cost), "lower", cost=True) for cost in results.costs()))


def blocks(results: Results) -> list[Block]:
    """One block a budget, in the order of `results.budgets`."""
    shown = columns(results)
    return [
        Block(
            budget,
            tuple(
                Line(
                    arm,
                    results.arms[arm].label or arm,
                    results.arms[arm].kind,
                    _seeds(results, arm, budget),
                    tuple(figure(results, arm, budget, column) for column in shown),
                )
                for arm in ordered(results, budget)
            ),
        )
        for budget in results.budgets
    ]


def ordered(results: Results, budget: float) -> list[str]:
    """Arms by kind (dense, method, random), methods with the best primary quality at `budget` first."""
    sign = 1 if results.quality[results.primary] == "lower" else -1

    def key(arm: str) -> tuple[int, float]:
        mean = summary(results, arm, budget, results.primary).mean
        rank = {"dense": 0, "random": 2}.get(results.arms[arm].kind, 1)
        return rank, math.inf if math.isnan(mean) else sign * mean

    return sorted(results.arms, key=key)


def opponent(results: Results, arm: str, against: str) -> str | None:
    """The dense arm, or the random arm that `arm` is held against: its own twin, else the first of no twin."""
    of_kind = [name for name, facts in results.arms.items() if facts.kind == against]
    own = [name for name in of_kind if results.arms[name].twin_of == arm]
    general = [name for name in of_kind if not results.arms[name].twin_of]
    return next(iter((*own, *general, *of_kind)), None)


def summary(results: Results, arm: str, budget: float, measure: str) -> Interval:
    """Mean and interval over seeds; UNSEEN where nothing, or only NaN, was measured.

    Cells that stand for other seeds' add no knowledge: where all are copies of one, the limits are NaN.
    """
    values = _numbers(results, arm, budget, measure)
    if not values:
        return UNSEEN
    if len(values) < len(results.values(arm, budget, measure)):
        return Interval(math.nan, math.nan, math.nan, len(values))
    interval = results.summary(arm, budget, measure)
    return Interval(interval.mean, math.nan, math.nan, 1) if fixed(results, arm, budget) else interval


def versus(results: Results, arm: str, other: str, budget: float, measure: str) -> Interval:
    """Paired difference arm - other; UNSEEN where no seed has both. Limits are NaN where neither varies with the seed."""
    ours, theirs = _numbers(results, arm, budget, measure), _numbers(results, other, budget, measure)
    if not ours.keys() & theirs.keys():
        return UNSEEN
    if any(len(_numbers(results, a, budget, measure)) < len(results.values(a, budget, measure)) for a in (arm, other)):
        return Interval(math.nan, math.nan, math.nan, len(ours.keys() & theirs.keys()))
    interval = results.versus(arm, other, budget, measure)
    if fixed(results, arm, budget) and fixed(results, other, budget):
        return Interval(interval.mean, math.nan, math.nan, 1)
    return interval


def fixed(results: Results, arm: str, budget: float) -> bool:
    """Whether the arm's cells are one measurement that stands for several seeds."""
    rows = results.of(arm, budget)
    return len(rows) > 1 and sum(not row.detail.get("shared") for row in rows) <= 1


def figure(results: Results, arm: str, budget: float, column: Column) -> Figure:
    """The cell of `arm` at `budget` in `column`, in the column's unit and as text."""
    factor, alone = column.scale.factor, fixed(results, arm, budget)
    ratio = math.nan
    if column.against:
        other = opponent(results, arm, column.against)
        if other is None or other == arm or results.arms[arm].kind == column.against:
            return Figure(UNSEEN, NOTHING, "")
        interval = versus(results, arm, other, budget, column.measure)
        alone = alone and fixed(results, other, budget)
    else:
        interval = summary(results, arm, budget, column.measure)
        if column.cost and results.arms[arm].kind != "dense" and (dense := opponent(results, arm, "dense")):
            base = summary(results, dense, budget, column.measure).mean
            ratio = interval.mean / base if base else math.nan
    if interval.n == 0:
        return Figure(UNSEEN, MISSING, "")
    interval = Interval(interval.mean * factor, interval.low * factor, interval.high * factor, interval.n)
    mean, spread = estimate(interval.mean, (interval.high - interval.low) / 2, sign=bool(column.against))
    if interval.n == 1 and not alone:
        spread = "one seed"
    return Figure(interval, mean, spread, ratio)


def _numbers(results: Results, arm: str, budget: float, measure: str) -> dict[int, float]:
    values = results.values(arm, budget, measure)
    return {seed: value for seed, value in values.items() if not math.isnan(value)}


def _scale(results: Results, measure: str) -> Scale:
    values = [{**row.quality, **row.cost}.get(measure, math.nan) for row in results.rows]
    return scale(measure, values)


def _seeds(results: Results, arm: str, budget: float) -> str:
    """How many seeds of those asked for are there; "fixed" for one measurement that stands for all."""
    if fixed(results, arm, budget):
        return "fixed"
    done, asked = len(results.of(arm, budget)), len(results.seeds)
    return str(done) if done == asked else f"{done} of {asked}"
