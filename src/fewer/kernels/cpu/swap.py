"""Swaps within rows: keep one more weight and one less, again and again, so that a sum over the others goes to zero (DSnoT)."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewer.kernels.dispatch import cpu_path


class Guard(NamedTuple):
    """What the squared error of a row is computed from: with d the weights not kept, it is d P d."""

    weight: Float[Tensor, "out in"]
    products: Float[Tensor, "in in"]
    """P: mean products of inputs, symmetric."""
    pull: Float[Tensor, "out in"]
    """d P of every row; changed in place."""


def swap(
    mask: Bool[Tensor, "out in"],
    shift: Float[Tensor, "out in"],
    grow: Float[Tensor, "out in"],
    drop: Float[Tensor, "out in"],
    gap: Float[Tensor, " out"],
    *,
    cycles: int,
    delta: float,
    same_sign: bool,
    group: int = 0,
    guard: Guard | None = None,
) -> None:
    """Change `mask` and `gap` in place, one swap a row and cycle; a row that stops stays stopped.

    A cycle of a row keeps g, the largest `grow` of those whose `shift` has the gap's sign, and drops j, the smallest `drop` of
    those whose `shift` has the other sign; gap += shift[j] - shift[g]. No weight moves twice. Ties go to the lowest index.

    Args:
        mask: what is kept; contiguous, as all of the arrays.
        shift: what keeping a weight takes off its row's gap.
        grow: positive where a weight that is not kept may come back.
        gap: float64, the sum of `shift` over what is not kept.
        cycles: swaps a row at most.
        delta: a row stops once |gap| is no more than this.
        same_sign: a row stops before a swap that would turn the sign that its gap had at first.
        group: where not 0, j is the smallest `drop` of g's own group of so many, whatever its sign (N:M).
        guard: a row stops before a swap that would raise its squared error.

    A row also stops when it has no g or no j left.
    """
    if cpu_path() == "reference" or mask.device.type != "cpu":
        reference(mask, shift, grow, drop, gap, cycles, delta, same_sign, group, guard)
        return
    none = np.empty((0, 0), np.float32)
    guarded = (none, none, none) if guard is None else tuple(part.numpy() for part in guard)
    arrays = (part.numpy() for part in (mask, shift, grow, drop, gap))
    _portable()(*arrays, cycles, delta, same_sign, group, *guarded)


def reference(
    mask: Tensor,
    shift: Tensor,
    grow: Tensor,
    drop: Tensor,
    gap: Tensor,
    cycles: int,
    delta: float,
    same_sign: bool,
    group: int,
    guard: Guard | None,
) -> None:
    """The same in torch, over all rows at once."""
    grow, drop = grow.masked_fill(mask, 0), drop.masked_fill(~mask, torch.inf)
    groups = torch.arange(mask.shape[1], device=mask.device) // max(group, 1)
    rows, first, live = torch.arange(len(mask), device=mask.device), gap.sign(), torch.ones_like(gap, dtype=torch.bool)
    for _ in range(cycles):
        side = shift * gap.sign()[:, None].float()
        best, g = torch.where(side > 0, grow, 0).max(1)
        near = groups == groups[g][:, None] if group else side < 0
        least, j = torch.where(near, drop, torch.inf).min(1)
        after = gap + shift[rows, j].double() - shift[rows, g].double()
        live &= (gap.abs() > delta) & (best > 0) & (least < torch.inf)
        if same_sign:
            live &= after.sign() == first
        if guard is not None:
            live &= _rise(guard, rows, g, j) <= 0
        r, g, j = rows[live], g[live], j[live]
        if not len(r):
            return
        if guard is not None:
            guard.pull[r] += guard.weight[r, j, None] * guard.products[j] - guard.weight[r, g, None] * guard.products[g]
        mask[r, g], mask[r, j], grow[r, g], drop[r, j] = True, False, 0, torch.inf
        gap[r] = after[r]


def _rise(guard: Guard, rows: Tensor, g: Tensor, j: Tensor) -> Tensor:
    """How much the squared error of each row rises when g is kept in place of j."""
    w, P, pull = guard
    back, gone = w[rows, g], w[rows, j]
    own = gone.square() * P[j, j] + back.square() * P[g, g] - 2 * gone * back * P[g, j]
    return own + 2 * (gone * pull[rows, j] - back * pull[rows, g])


@cache
def _portable() -> Any:
    import numba

    @numba.njit(
        "void(b1[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], f8[::1], i8, f8, b1, i8, f4[:,::1], f4[:,::1], f4[:,::1])",
        parallel=True,
        cache=True,
    )
    def walk(mask, shift, grow, drop, gap, cycles, delta, same_sign, group, w, P, pull):  # pragma: no cover - compiled
        width = mask.shape[1]
        guarded = len(w) > 0
        for r in numba.prange(mask.shape[0]):
            if abs(gap[r]) <= delta:
                continue
            # Candidates by sign of their shift, packed, so that a search reads no others: [0] negative, [1] positive.
            g_index, j_index = np.empty((2, width), np.int32), np.empty((2, width), np.int32)
            g_score, j_score = np.empty((2, width), np.float32), np.empty((2, width), np.float32)
            g_count, j_count = np.zeros(2, np.int64), np.zeros(2, np.int64)
            for k in range(width):
                side = 1 if shift[r, k] > 0 else 0
                if mask[r, k]:
                    if shift[r, k] != 0 and not group:
                        j_index[side, j_count[side]], j_score[side, j_count[side]] = k, drop[r, k]
                        j_count[side] += 1
                elif grow[r, k] > 0 and shift[r, k] != 0:
                    g_index[side, g_count[side]], g_score[side, g_count[side]] = k, grow[r, k]
                    g_count[side] += 1
            taken = np.zeros(width if group else 0, np.bool_)
            first = 1 if gap[r] > 0 else -1
            for _ in range(cycles):
                if abs(gap[r]) <= delta:
                    break
                up = 1 if gap[r] > 0 else 0
                best, g_at = np.float32(0), -1
                for i in range(g_count[up]):
                    if g_score[up, i] > best:
                        best, g_at = g_score[up, i], i
                if g_at < 0:
                    break
                g, j, j_at, least = g_index[up, g_at], -1, -1, np.float32(np.inf)
                if group:
                    start = g // group * group
                    for k in range(start, start + group):
                        # What was grown is marked as taken too: only what was kept at first can be dropped.
                        if mask[r, k] and not taken[k] and drop[r, k] < least:
                            least, j = drop[r, k], k
                else:
                    for i in range(j_count[1 - up]):
                        if j_score[1 - up, i] < least:
                            least, j_at = j_score[1 - up, i], i
                    if j_at >= 0:
                        j = j_index[1 - up, j_at]
                if j < 0:
                    break
                after = gap[r] + np.float64(shift[r, j]) - np.float64(shift[r, g])
                if same_sign and not (after > 0 if first > 0 else after < 0):
                    break
                if guarded:
                    back, gone = w[r, g], w[r, j]
                    own = gone * gone * P[j, j] + back * back * P[g, g] - 2 * gone * back * P[g, j]
                    if own + 2 * (gone * pull[r, j] - back * pull[r, g]) > 0:
                        break
                    for k in range(width):
                        pull[r, k] += gone * P[j, k] - back * P[g, k]
                mask[r, g], mask[r, j], gap[r] = True, False, after
                g_score[up, g_at] = 0
                if group:
                    taken[g] = True
                else:
                    j_score[1 - up, j_at] = np.inf

    return walk
