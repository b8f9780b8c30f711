"""What a comparison came to, in one or two sentences computed from it."""

import math

from fewer.compare.result import Results
from fewer.compare.table import Column, Figure, columns, figure, ordered
from fewer.compare.wording import percent


def outcome(results: Results) -> str:
    """The best method at the first budget that has one, against dense and random, and its costs as shares of dense's."""
    gaps = [column for column in columns(results) if column.against == "dense" and column.measure == results.primary]
    for budget in results.budgets if gaps else []:
        standing = {arm: figure(results, arm, budget, gaps[0]) for arm in ordered(results, budget)}
        known = [arm for arm, gap in standing.items() if not math.isnan(gap.interval.mean)]
        best = next((arm for arm in known if results.arms[arm].kind == "method"), None)
        if best is None:
            continue
        said = f"At {percent(budget)} density, {_sentence(results, best, standing[best], gaps[0])}"
        if random := next((arm for arm in known if results.arms[arm].kind == "random"), None):
            said += f"; {_sentence(results, random, standing[random], gaps[0])}"
        return f"{said}.{_costs(results, best, budget)}"
    return "Not enough is finished to say how a method stands against dense."


def _sentence(results: Results, arm: str, gap: Figure, column: Column) -> str:
    label = results.arms[arm].label or arm
    if math.isinf(gap.interval.mean):
        return f"{label} has an infinite {column.scale.title}"
    amount = gap.text if gap.spread.startswith("±") else gap.mean
    if gap.interval.low <= 0 <= gap.interval.high:
        return f"{label} is within noise of dense ({amount} {column.scale.title})"
    verb = "costs" if (gap.interval.mean > 0) == (column.better == "lower") else "gains"
    alone = f" ({gap.spread})" if gap.spread and amount == gap.mean else ""
    return f"{label} {verb} {amount} {column.scale.title} against dense{alone}"


def _costs(results: Results, arm: str, budget: float) -> str:
    """The first three costs that dense has too."""
    found = [(column, figure(results, arm, budget, column).ratio) for column in columns(results) if column.cost]
    shares = [f"{ratio:.2f} times the {column.scale.title}" for column, ratio in found if math.isfinite(ratio)][:3]
    if not shares:
        return ""
    listed = shares[0] if len(shares) == 1 else f"{', '.join(shares[:-1])} and {shares[-1]}"
    return f" {results.arms[arm].label or arm} takes {listed} of dense."
