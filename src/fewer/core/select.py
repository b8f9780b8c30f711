"""Select: scores under a pattern and a budget become a selection. It never asks where the scores came from."""

from collections.abc import Mapping

from torch import Tensor

from fewer.core.allocation import Allocation, Global, Uniform
from fewer.core.budget import Budget, Density
from fewer.core.pattern import Pattern, parse_pattern
from fewer.core.scores import checked
from fewer.core.selection import Selection, Selections
from fewer.core.topk import keep_largest
from fewer.errors import BudgetError


def select(scores: Tensor, pattern: Pattern | str = "layer", budget: Budget | None = None, name: str = "") -> Selection:
    """Keep the best-scored candidates of every unit: exactly as many as the budget says, ties to the lowest index.

    Args:
        scores: any shape, finite; larger = keep.
        pattern: what is kept as one and what competes, or its spelling (`parse_pattern`).
        budget: how many of each unit. May be left out where the pattern fixes it (N:M).
        name: what to call the tensor in errors.

    Raises:
        ScoreError: scores that are NaN or infinite.
        PatternError: a pattern that does not fit the shape.
        BudgetError: no budget, or one that contradicts the pattern.
    """
    pattern = parse_pattern(pattern)
    pattern.fit(tuple(scores.shape), name)
    budget = budget_of(pattern, budget)
    units = pattern.units(pattern.rank(checked(scores, f"the scores of {name}" if name else "scores")))
    kept = keep_largest(units, budget.counts(units))
    return Selection(pattern.spread(kept, tuple(scores.shape)), str(pattern))


def budget_of(pattern: Pattern, budget: Budget | None) -> Budget:
    """The budget in force: the pattern's own where it fixes one, unless everything is kept."""
    if pattern.density is None:
        if budget is None:
            raise BudgetError(f'pattern "{pattern}" needs a budget, such as Density(0.5).')
        return budget
    fixed = Density(pattern.density)
    if budget is None or budget.whole:
        return budget or fixed
    if not isinstance(budget, Density) or abs(budget.share - fixed.share) > 1e-9:
        raise BudgetError(f"{pattern} keeps {pattern.density:g} of the weights by itself; {budget} contradicts it.")
    return fixed


def select_all(
    scores: Mapping[str, Tensor],
    pattern: Pattern | str = "layer",
    density: float = 0.5,
    allocation: Allocation | None = None,
) -> Selections:
    """`select` over named tensors; `allocation` shares the density out (uniform, or pooled where the scope is global)."""
    pattern = parse_pattern(pattern)
    if allocation is None:
        allocation = Global() if pattern.pooled else Uniform()
    shares = allocation.densities({name: tuple(s.shape) for name, s in scores.items()}, density, scores)
    return Selections({name: select(s, pattern, Density(shares[name]), name) for name, s in scores.items()})
