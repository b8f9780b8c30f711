"""How large each kind gets at sparsity s, so that its active weights are as many as those of the dense layer (sec. 3)."""

import math

from fewer.errors import BudgetError

SLACK = 1e-9  # 1 / (1 - 0.9) is 10.000000000000002 in floating point and must still mean 10


def check_sparsity(sparsity: float) -> None:
    """Raises BudgetError unless sparsity is a number in [0, 1)."""
    if isinstance(sparsity, bool) or not isinstance(sparsity, int | float) or not 0 <= sparsity < 1:
        raise BudgetError(
            f"sparsity must lie in [0, 1), not {sparsity!r}: 0.75 makes layers four times as large, one weight in four active."
        )


def branch_count(sparsity: float) -> int:
    """Branches of Sparse Parallel: 1 / (1 - s), as the nearest whole number."""
    return _nearest(1 / (1 - sparsity))


def widened(width: int, sparsity: float) -> int:
    """A hidden width of Sparse Wide: sqrt(1 / (1 - s)) times the dense one, as the nearest whole number."""
    return _nearest(width * math.sqrt(1 / (1 - sparsity)))


def inner_width(outputs: int, inputs: int, sparsity: float, sparse_v: bool = True) -> int:
    """Inner width d of Sparse Factorized, rounded up: what U [d, in] and V [out, d] may be at density 1 - s.

    With `sparse_v=False` only U is sparse. At s = 0 it is the width at which two dense factors cost as much as the layer.
    """
    kept = 1 - sparsity
    one_unit = kept * inputs + (kept if sparse_v else 1) * outputs
    return math.ceil(inputs * outputs / one_unit - SLACK)


def doped_rank(outputs: int, inputs: int, sparsity: float) -> int:
    """Rank of the dense part of Sparse Doped, rounded down: what s of the layer's weights pay for."""
    return math.floor(sparsity * inputs * outputs / (inputs + outputs) + SLACK)


def _nearest(value: float) -> int:
    return math.floor(value + 0.5 + SLACK)
