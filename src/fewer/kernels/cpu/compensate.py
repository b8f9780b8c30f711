"""The optimal-brain-surgeon sweep: remove weights column by column, let those to the right make up for them."""

from jaxtyping import Bool, Float
from torch import Tensor

from fewer.core.topk import keep_largest
from fewer.kernels.dispatch import cpu_path


def compensate(
    weights: Float[Tensor, "out width"],
    errors: Float[Tensor, "out width"],
    kept: Bool[Tensor, "out width"],
    factor: Float[Tensor, "width width"],
    start: int,
    stop: int,
    choose: tuple[int, int] | None = None,
) -> None:
    """Sweep columns start..stop of a block in place (SparseGPT, arXiv 2301.00774, algorithm 1, inner loop).

    For a removed weight w at column c: e = w / factor[c, c]; w = 0; the weights to its right lose e * factor[c, c+1:].

    Args:
        weights: the block, changed in place; contiguous float32.
        errors: receives e (0 where kept), which the columns after the block need.
        kept: which weights stay; only columns start..stop are read, or written where they are to be chosen.
        factor: upper triangular; the block's part of the Cholesky factor of the inverse Hessian.
        choose: (n, m) keeps, of every m columns in turn, the n of the largest w^2 / factor[c, c]^2 at that time, of equals the
            first; m divides stop - start.
    """
    if cpu_path() == "reference" or weights.device.type != "cpu":
        reference(weights, errors, kept, factor, start, stop, choose)
        return
    from fewer.kernels.cpu.sweep import sweep

    sweep(weights, errors, kept, factor.contiguous(), start, stop, choose or (0, 0))


def reference(
    weights: Tensor,
    errors: Tensor,
    kept: Tensor,
    factor: Tensor,
    start: int,
    stop: int,
    choose: tuple[int, int] | None = None,
) -> None:
    """The same in torch, one column after the other over all rows."""
    for c in range(start, stop):
        if choose and (c - start) % choose[1] == 0:
            group = slice(c, c + choose[1])
            kept[:, group] = keep_largest((weights[:, group] / factor.diagonal()[group]).square_(), choose[0])
        removed = weights[:, c].masked_fill(kept[:, c], 0) / factor[c, c]
        errors[:, c] = removed
        weights[:, c + 1 :] -= removed[:, None] * factor[c, c + 1 :]
        weights[:, c] *= kept[:, c]
