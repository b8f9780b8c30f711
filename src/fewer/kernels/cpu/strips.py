"""Products with whole blocks of weights: strips of 16 rows, and for each strip the columns that any of them keeps."""

from numba import cfunc, njit

from fewer.kernels.cpu.lanes import (
    add,
    fma,
    load,
    load_half,
    mask,
    number,
    number_half,
    prefetch,
    put,
    spread,
    store,
    word,
    zeros,
)
from fewer.kernels.cpu.team import BATCH, HALF, KERNEL, OPERANDS, X_STEP, Y_STEP, X, Y, share

STARTS, COLUMNS, VALUES = range(OPERANDS, OPERANDS + 24, 8)
"""The first column of each strip; the column numbers, 16 bits each; the values, 16 a column."""
AHEAD = 4096  # bytes: see two_four


@njit
def vector(job, strip, read, size):
    """Lanes are rows: four columns at a time, and no sum over lanes at the end."""
    starts = word(job + STARTS) + 8 * strip
    first, count = word(starts), word(starts + 8) - word(starts)
    columns, values = word(job + COLUMNS) + 2 * first, word(job + VALUES) + 16 * size * first
    for sample in range(word(job + BATCH)):
        x = word(job + X) + sample * word(job + X_STEP)
        a, b, c, d = zeros(), zeros(), zeros(), zeros()
        k, v = columns, values
        for _ in range(count // 4):
            for line in range(0, 64 * size, 64):
                prefetch(v + AHEAD + line)
            a = fma(read(v), spread(x + 4 * mask(k)), a)
            b = fma(read(v + 16 * size), spread(x + 4 * mask(k + 2)), b)
            c = fma(read(v + 32 * size), spread(x + 4 * mask(k + 4)), c)
            d = fma(read(v + 48 * size), spread(x + 4 * mask(k + 6)), d)
            k += 8
            v += 64 * size
        for _ in range(count % 4):
            a = fma(read(v), spread(x + 4 * mask(k)), a)
            k += 2
            v += 16 * size
        store(word(job + Y) + sample * word(job + Y_STEP) + 64 * strip, add(add(a, b), add(c, d)))


@njit(fastmath={"contract", "reassoc"})
def plain(job, strip, read, size):
    """One row of the strip after the other."""
    starts = word(job + STARTS) + 8 * strip
    first, count = word(starts), word(starts + 8) - word(starts)
    columns, values = word(job + COLUMNS) + 2 * first, word(job + VALUES) + 16 * size * first
    for sample in range(word(job + BATCH)):
        x = word(job + X) + sample * word(job + X_STEP)
        for lane in range(16):
            sum_ = number(x) * 0
            for k in range(count):
                sum_ += read(values + (16 * k + lane) * size) * number(x + 4 * mask(columns + 2 * k))
            put(word(job + Y) + sample * word(job + Y_STEP) + 64 * strip + 4 * lane, sum_)


def avx512():
    @cfunc(KERNEL, cache=True)
    def strips(job):
        if word(job + HALF):
            share(job, vector, load_half, 2)
        else:
            share(job, vector, load, 4)

    return strips


def portable():
    @cfunc(KERNEL, cache=True)
    def strips(job):
        if word(job + HALF):
            share(job, plain, number_half, 2)
        else:
            share(job, plain, number, 4)

    return strips
