"""Products with all weights: the twin that a sparse kernel has to beat."""

from numba import cfunc, njit

from fewer.kernels.cpu.lanes import fma, load, load_half, number, number_half, prefetch, put, total, word, zeros
from fewer.kernels.cpu.team import BATCH, HALF, KERNEL, OPERANDS, X_STEP, Y_STEP, X, Y, share
from fewer.kernels.forms.dense import TOGETHER

CHUNKS, ROWS, VALUES = range(OPERANDS, OPERANDS + 24, 8)
"""Chunks of 16 inputs in a row; rows in all; where the values begin."""
AHEAD = 4096  # bytes: see two_four


@njit
def vector(job, unit, read, size):
    """Four rows at a time, rows that are left over one by one."""
    step = word(job + CHUNKS) * 16 * size
    first = TOGETHER * unit
    values = word(job + VALUES) + first * step
    for sample in range(word(job + BATCH)):
        x = word(job + X) + sample * word(job + X_STEP)
        y = word(job + Y) + sample * word(job + Y_STEP) + 4 * first
        if first + TOGETHER <= word(job + ROWS):
            a, b, c, d = zeros(), zeros(), zeros(), zeros()
            v = values
            for at in range(x, x + word(job + CHUNKS) * 64, 64):
                inputs = load(at)
                prefetch(v + AHEAD)
                prefetch(v + step + AHEAD)
                prefetch(v + 2 * step + AHEAD)
                prefetch(v + 3 * step + AHEAD)
                a = fma(read(v), inputs, a)
                b = fma(read(v + step), inputs, b)
                c = fma(read(v + 2 * step), inputs, c)
                d = fma(read(v + 3 * step), inputs, d)
                v += 16 * size
            put(y, total(a))
            put(y + 4, total(b))
            put(y + 8, total(c))
            put(y + 12, total(d))
        else:
            for row in range(word(job + ROWS) - first):
                a = zeros()
                v = values + row * step
                for at in range(x, x + word(job + CHUNKS) * 64, 64):
                    a = fma(read(v), load(at), a)
                    v += 16 * size
                put(y + 4 * row, total(a))


@njit(fastmath={"contract", "reassoc"})
def plain(job, unit, read, size):
    """One row after the other."""
    width = word(job + CHUNKS) * 16
    for sample in range(word(job + BATCH)):
        x = word(job + X) + sample * word(job + X_STEP)
        for k in range(TOGETHER):
            row = TOGETHER * unit + k
            if row < word(job + ROWS):
                v = word(job + VALUES) + row * width * size
                sum_ = number(x) * 0
                for c in range(width):
                    sum_ += read(v + c * size) * number(x + 4 * c)
                put(word(job + Y) + sample * word(job + Y_STEP) + 4 * row, sum_)


def avx512():
    @cfunc(KERNEL, cache=True)
    def dense(job):
        if word(job + HALF):
            share(job, vector, load_half, 2)
        else:
            share(job, vector, load, 4)

    return dense


def portable():
    @cfunc(KERNEL, cache=True)
    def dense(job):
        if word(job + HALF):
            share(job, plain, number_half, 2)
        else:
            share(job, plain, number, 4)

    return dense
