"""The optimal-brain-surgeon sweep: remove weights column by column, let those to the right make up for them."""

from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from fewer.kernels.dispatch import cpu_path


def compensate(
    weights: Float[Tensor, "out width"],
    errors: Float[Tensor, "out width"],
    kept: Bool[Tensor, "out width"],
    factor: Float[Tensor, "width width"],
    start: int,
    stop: int,
) -> None:
    """Sweep columns start..stop of a block in place (SparseGPT, arXiv 2301.00774, algorithm 1, inner loop).

    For a removed weight w at column c: e = w / factor[c, c]; w = 0; the weights to its right lose e * factor[c, c+1:].

    Args:
        weights: the block, changed in place; contiguous float32.
        errors: receives e (0 where kept), which the columns after the block need.
        kept: which weights stay; only columns start..stop are read.
        factor: upper triangular; the block's part of the Cholesky factor of the inverse Hessian.
    """
    if cpu_path() == "reference" or weights.device.type != "cpu":
        reference(weights, errors, kept, factor, start, stop)
        return
    _portable()(weights.numpy(), errors.numpy(), kept.numpy(), factor.contiguous().numpy(), start, stop)


def reference(weights: Tensor, errors: Tensor, kept: Tensor, factor: Tensor, start: int, stop: int) -> None:
    """The same in torch, one column after the other over all rows."""
    for c in range(start, stop):
        removed = weights[:, c].masked_fill(kept[:, c], 0) / factor[c, c]
        errors[:, c] = removed
        weights[:, c + 1 :] -= removed[:, None] * factor[c, c + 1 :]
        weights[:, c] *= kept[:, c]


@cache
def _portable() -> Any:
    import numba

    @numba.njit("void(f4[:,::1], f4[:,::1], b1[:,::1], f4[:,::1], i8, i8)", parallel=True, fastmath=True, cache=True)
    def sweep(weights, errors, kept, factor, start, stop):  # pragma: no cover - compiled
        width = weights.shape[1]
        for r in numba.prange(weights.shape[0]):
            row = weights[r]
            for c in range(start, stop):
                if kept[r, c]:
                    errors[r, c] = np.float32(0)
                    continue
                e = row[c] / factor[c, c]
                errors[r, c] = e
                row[c] = np.float32(0)
                for j in range(c + 1, width):
                    row[j] -= e * factor[c, j]

    return sweep
