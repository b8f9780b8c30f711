"""Products with weights behind a bit mask: the kept values of a row stand one after the other."""

from numba import cfunc, njit

from fewer.kernels.cpu.lanes import (
    add,
    expand,
    expand_half,
    fma,
    load,
    mask,
    number,
    number_half,
    ones,
    prefetch,
    put,
    total,
    word,
    zeros,
)
from fewer.kernels.cpu.team import BATCH, HALF, KERNEL, OPERANDS, X_STEP, Y_STEP, X, Y, share

CHUNKS, STARTS, MASKS, VALUES = range(OPERANDS, OPERANDS + 32, 8)
"""Chunks of 16 inputs in a row; the first value of each row; the masks; the values."""
AHEAD = 4096  # bytes: see two_four


@njit
def vector(job, row, read, size):
    """Expands the next values into the lanes that the mask names, two chunks at a time."""
    chunks = word(job + CHUNKS)
    masks = word(job + MASKS) + row * chunks * 2
    values = word(job + VALUES) + size * word(word(job + STARTS) + 8 * row)
    for sample in range(word(job + BATCH)):
        x = word(job + X) + sample * word(job + X_STEP)
        a, b = zeros(), zeros()
        v = values
        for c in range(0, chunks - 1, 2):
            m, n = mask(masks + 2 * c), mask(masks + 2 * c + 2)
            prefetch(v + AHEAD)
            a = fma(read(v, m), load(x + 64 * c), a)
            v += size * ones(m)
            b = fma(read(v, n), load(x + 64 * c + 64), b)
            v += size * ones(n)
        if chunks % 2:
            a = fma(read(v, mask(masks + 2 * (chunks - 1))), load(x + 64 * (chunks - 1)), a)
        put(word(job + Y) + sample * word(job + Y_STEP) + 4 * row, total(add(a, b)))


@njit(fastmath={"contract", "reassoc"})
def plain(job, row, read, size):
    """Bit after bit."""
    chunks = word(job + CHUNKS)
    masks = word(job + MASKS) + row * chunks * 2
    values = word(job + VALUES) + size * word(word(job + STARTS) + 8 * row)
    for sample in range(word(job + BATCH)):
        x = word(job + X) + sample * word(job + X_STEP)
        v = values
        sum_ = number(x) * 0
        for c in range(chunks):
            bits = mask(masks + 2 * c)
            for k in range(16):
                if bits >> k & 1:
                    sum_ += read(v) * number(x + 4 * (16 * c + k))
                    v += size
        put(word(job + Y) + sample * word(job + Y_STEP) + 4 * row, sum_)


def avx512():
    @cfunc(KERNEL, cache=True)
    def bitmask(job):
        if word(job + HALF):
            share(job, vector, expand_half, 2)
        else:
            share(job, vector, expand, 4)

    return bitmask


def portable():
    @cfunc(KERNEL, cache=True)
    def bitmask(job):
        if word(job + HALF):
            share(job, plain, number_half, 2)
        else:
            share(job, plain, number, 4)

    return bitmask
