"""How many weights each layer keeps: an allocation made whole, so that the total is met exactly."""

import math
from collections.abc import Mapping

from torch import Tensor

from fewer.core import Allocation, Density
from fewer.core.allocation import Shapes


def layer_counts(
    shapes: Shapes, density: float, allocation: Allocation, scores: Mapping[str, Tensor] | None = None
) -> dict[str, int]:
    """Whole numbers that sum to ceil(density * all weights): shares are cut off, and the largest remainders get the rest.

    Raises:
        BudgetError: a density outside [0, 1], or one that the allocation cannot meet.
    """
    total = Density(density).of(sum(map(math.prod, shapes.values())))
    shares = allocation.densities(shapes, density, scores)
    wanted = {name: shares[name] * math.prod(shape) for name, shape in shapes.items()}
    counts = {name: math.floor(value + 1e-6) for name, value in wanted.items()}
    open_to_more = sorted(
        (name for name, shape in shapes.items() if counts[name] < math.prod(shape)),
        key=lambda name: counts[name] - wanted[name],
    )
    for name in open_to_more[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
