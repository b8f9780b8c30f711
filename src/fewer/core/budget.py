"""Budgets: how many candidates of each unit are kept."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from fewer.errors import BudgetError

SLACK = 1e-6  # 0.1 * 30 is 3.0000000000000004 in floating point and must still mean 3


@dataclass(frozen=True)
class Budget:
    """Says how many members of each unit are kept; `whole` is the budget that keeps everything."""

    def counts(self, units: Tensor) -> int | Int[Tensor, " units"]:
        """One count for all units, or one for each. `units` is [units, members] and already ranked."""
        raise NotImplementedError

    @property
    def whole(self) -> bool:
        return False


@dataclass(frozen=True)
class Density(Budget):
    """Keep this share of each unit, rounded up: density d of m members keeps ceil(d * m), so floor((1 - d) * m) are dropped."""

    share: float

    def __post_init__(self) -> None:
        if not (isinstance(self.share, int | float) and 0 <= self.share <= 1):
            raise BudgetError(f"density must lie in [0, 1], not {self.share!r}. Density is the share that is KEPT.")

    def counts(self, units: Tensor) -> int:
        return self.of(units.shape[1])

    def of(self, members: int) -> int:
        return min(members, math.ceil(self.share * members - SLACK))

    @property
    def whole(self) -> bool:
        return self.share == 1


@dataclass(frozen=True)
class Count(Budget):
    """Keep exactly `k` of each unit. Raises BudgetError where a unit has fewer members."""

    k: int

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 0:
            raise BudgetError(f"a count must be a whole number of at least 0, not {self.k!r}.")

    def counts(self, units: Tensor) -> int:
        if self.k > units.shape[1]:
            raise BudgetError(f"{self.k} cannot be kept of units that have {units.shape[1]} members.")
        return self.k


@dataclass(frozen=True)
class Mass(Budget):
    """Keep the fewest members whose scores sum to at least `share` of the unit's total. Scores must not be negative."""

    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise BudgetError(f"mass must lie in [0, 1], not {self.share!r}.")

    def counts(self, units: Tensor) -> Int[Tensor, " units"]:
        if bool((units < 0).any()):
            raise BudgetError(
                "a mass budget needs scores of at least 0; some are negative. Rank by magnitude, or use a density."
            )
        if not units.shape[1]:
            return units.new_zeros(len(units), dtype=torch.long)
        held = units.double().sort(dim=1, descending=True).values.cumsum(1)
        wanted = self.share * held[:, -1:]
        # A unit of zeros has no mass to hold: nothing is kept.
        return torch.where(wanted[:, 0] > 0, (held < wanted * (1 - 1e-12)).sum(1) + 1, 0).clamp(max=units.shape[1])


@dataclass(frozen=True)
class Threshold(Budget):
    """Keep every member whose score is at least `value`."""

    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise BudgetError(f"a threshold must be finite, not {self.value!r}.")

    def counts(self, units: Tensor) -> Int[Tensor, " units"]:
        return (units >= self.value).sum(1)
