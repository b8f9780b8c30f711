"""How much a search may spend: a number of samples, or of floating-point operations."""

from dataclasses import dataclass

from fewer.errors import BudgetError


@dataclass(frozen=True)
class Samples:
    """So many evaluations."""

    count: int

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or isinstance(self.count, bool) or self.count < 1:
            raise BudgetError(f"a search needs a whole number of at least 1 sample, not {self.count!r}.")

    @property
    def most(self) -> int | None:
        """Samples at most, where that is known beforehand."""
        return self.count

    def allows(self, evaluations: int, multiply_adds: int) -> bool:
        """May a search come to this in all?"""
        return evaluations <= self.count


@dataclass(frozen=True)
class Flops:
    """As many evaluations as stay within so many FLOPs, two for each multiply-add that a sub-network needs."""

    count: float

    def __post_init__(self) -> None:
        if not self.count > 0:
            raise BudgetError(f"a search needs more than 0 FLOPs, not {self.count!r}.")

    @property
    def most(self) -> int | None:
        return None

    def allows(self, evaluations: int, multiply_adds: int) -> bool:
        return 2 * multiply_adds <= self.count


def spending(budget: "int | Samples | Flops") -> "Samples | Flops":
    """A plain number is one of samples. Raises BudgetError for anything that is no budget."""
    return budget if isinstance(budget, Samples | Flops) else Samples(budget)
