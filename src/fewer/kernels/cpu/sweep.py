"""The kernel of `compensate`: every row is a unit of work."""

from functools import cache
from typing import Any

import numba
import numpy as np
from torch import Tensor

from fewer.kernels.cpu.lanes import byte, fill, fma, load, number, put, store, word
from fewer.kernels.cpu.short_lanes import put_byte
from fewer.kernels.cpu.team import KERNEL, OPERANDS, run, share

WIDTH, START, STOP, WEIGHTS, ERRORS, KEPT, FACTOR, KEEP, OF = range(OPERANDS, OPERANDS + 72, 8)
"""Columns of the block, which of them are swept, where the four arrays begin, all without gaps; how many of how many are to be
chosen and kept (of 0: `kept` says it)."""


def sweep(
    weights: Tensor, errors: Tensor, kept: Tensor, factor: Tensor, start: int, stop: int, choose: tuple[int, int] = (0, 0)
) -> None:
    """See `compensate`. Raises ValueError for arrays with gaps, which it could not change in place."""
    arrays = weights, errors, kept, factor
    if not all(array.is_contiguous() for array in arrays):
        raise ValueError("the arrays of a sweep must be contiguous")
    run(_kernel(), len(weights), weights.shape[1], start, stop, *(array.data_ptr() for array in arrays), *choose)


@numba.njit(error_model="numpy")
def _score(row, factor, width, c):
    ratio = number(row + 4 * c) / number(factor + 4 * (c * width + c))
    return ratio * ratio


@numba.njit(error_model="numpy")
def _choose(row, factor, kept, width, first, keep, of):
    """Keep those that fewer than `keep` others beat; of equals the first wins."""
    for c in range(first, first + of):
        own, beaten = _score(row, factor, width, c), 0
        for other in range(first, first + of):
            its = _score(row, factor, width, other)
            beaten += its > own or (its == own and other < c)
        put_byte(kept + c, beaten < keep)


@numba.njit(error_model="numpy")
def _row(job, r, _read, _size):
    width, start, stop = word(job + WIDTH), word(job + START), word(job + STOP)
    row, errors = word(job + WEIGHTS) + 4 * r * width, word(job + ERRORS) + 4 * r * width
    kept, factor = word(job + KEPT) + r * width, word(job + FACTOR)
    of = word(job + OF)
    for c in range(start, stop):
        if of and (c - start) % of == 0:
            _choose(row, factor, kept, width, c, word(job + KEEP), of)
        if byte(kept + c):
            put(errors + 4 * c, np.float32(0))
            continue
        q = factor + 4 * (c * width + c)  # the factor's row c, from its diagonal on
        e = number(row + 4 * c) / number(q)
        put(errors + 4 * c, e)
        put(row + 4 * c, np.float32(0))
        p, q, left, minus = row + 4 * (c + 1), q + 4, width - c - 1, fill(-e)
        for _ in range(left >> 4):
            store(p, fma(minus, load(q), load(p)))
            p, q = p + 64, q + 64
        for _ in range(left & 15):
            put(p, number(p) - e * number(q))
            p, q = p + 4, q + 4


@cache
def _kernel() -> Any:
    @numba.cfunc(KERNEL, cache=True)
    def kernel(job):
        share(job, _row, 0, 0)

    return kernel
