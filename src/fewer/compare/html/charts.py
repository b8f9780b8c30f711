"""The data that report.js draws: points with intervals, fronts, differences and layers. Drawing decides nothing."""

import math
import statistics
from collections.abc import Iterable
from typing import Any

from fewer.compare.html.layers import layers
from fewer.compare.result import Results
from fewer.compare.table import Column, columns, figure, ordered
from fewer.compare.wording import number
from fewer.measure.statistics import Interval, pareto_front

WIDE = 30
"""A range of more than this ratio is drawn on a log axis, or with its far points set at the edge."""
COLOURS = 8


def colours(results: Results) -> dict[str, str]:
    """arm -> the CSS custom property with its colour, the same in tables and charts."""
    methods = [arm for arm, facts in results.arms.items() if facts.kind not in ("dense", "random")]
    return {
        arm: f"--arm-{methods.index(arm) % COLOURS + 1}" if arm in methods else f"--arm-{facts.kind}"
        for arm, facts in results.arms.items()
    }


def charts(results: Results) -> dict[str, Any]:
    """Everything that the charts need, as plain JSON."""
    heads = [column for column in columns(results) if not column.against]
    points = _points(results, heads)
    first = ordered(results, results.budgets[0]) if results.budgets else list(results.arms)
    painted = colours(results)
    return {
        "arms": [
            {"name": arm, "label": results.arms[arm].label or arm, "kind": results.arms[arm].kind, "colour": painted[arm]}
            for arm in first
        ],
        "budgets": [f"{budget:g}" for budget in results.budgets],
        "measures": {
            head.measure: {
                "title": head.scale.heading,
                "better": head.better,
                "cost": head.cost,
                "log": wide(point["values"][head.measure][0] for point in points if head.measure in point["values"]),
            }
            for head in heads
        },
        "points": points,
        "fronts": {
            cost.measure: {quality.measure: _front(points, quality, cost) for quality in heads if not quality.cost}
            for cost in heads
            if cost.cost
        },
        "differences": _differences(results),
        "layers": layers(results),
    }


def wide(values: Iterable[float]) -> bool:
    """Whether positive values span more than WIDE times their smallest."""
    known = [value for value in values if math.isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) / min(known) > WIDE


def window(intervals: list[Interval]) -> tuple[float, float] | None:
    """Limits of an axis that leaves out points WIDE times farther from zero than the middle one; None leaves none out."""
    known = [i for i in intervals if math.isfinite(i.mean)]
    sizes = [abs(i.mean) for i in known if i.mean]
    if not sizes:
        return None
    near = [i for i in known if abs(i.mean) <= WIDE * statistics.median_low(sizes)]
    if len(near) == len(known):
        return None
    ends = [0.0, *(end for i in near for end in i[:3] if math.isfinite(end))]
    margin = 0.15 * (max(ends) - min(ends))
    return min(ends) - margin, max(ends) + margin


def _points(results: Results, heads: list[Column]) -> list[dict[str, Any]]:
    points = []
    for arm, facts in results.arms.items():
        for budget in results.budgets[:1] if facts.kind == "dense" else results.budgets:
            found = {head.measure: figure(results, arm, budget, head) for head in heads}
            values = {name: [*f.interval[:3]] for name, f in found.items() if f.interval.n}
            if values:
                words = {name: f.text for name, f in found.items() if f.interval.n}
                at = "1" if facts.kind == "dense" else f"{budget:g}"
                points.append({"arm": arm, "budget": at, "values": values, "words": words})
    return points


def _front(points: list[dict[str, Any]], quality: Column, cost: Column) -> list[int]:
    """Positions in `points` of those that no other beats in both, cheapest first."""
    both = [i for i, p in enumerate(points) if quality.measure in p["values"] and cost.measure in p["values"]]
    if not both:
        return []
    pairs = [(points[i]["values"][quality.measure][0], points[i]["values"][cost.measure][0]) for i in both]
    return sorted(
        (both[i] for i in pareto_front(pairs, (quality.better, "lower"))), key=lambda i: points[i]["values"][cost.measure][0]
    )


def _differences(results: Results) -> dict[str, Any]:
    """measure -> budget -> opponent -> {points, window}."""
    found: dict[str, Any] = {}
    for column in columns(results):
        if not column.against:
            continue
        for budget in results.budgets:
            figures = {arm: figure(results, arm, budget, column) for arm in ordered(results, budget)}
            figures = {arm: f for arm, f in figures.items() if f.interval.n and math.isfinite(f.interval.mean)}
            limits = window([f.interval for f in figures.values()])
            points = [
                {
                    "arm": arm,
                    "at": [*f.interval[:3]],
                    "words": f.text,
                    "beyond": limits is not None and not limits[0] <= f.interval.mean <= limits[1],
                    "far": number(f.interval.mean, sign=True),
                }
                for arm, f in figures.items()
            ]
            by_budget = found.setdefault(column.measure, {}).setdefault(f"{budget:g}", {})
            by_budget[column.against] = {"points": points, "window": limits}
    return found
