"""Products with few weights: 16 rows side by side, each lane with its own next column, as the distance from the last."""

from numba import cfunc, njit

from fewer.kernels.cpu.lanes import (
    add,
    byte,
    fma,
    gather,
    load,
    load_bytes,
    load_half,
    load_ints,
    no_columns,
    number,
    number_half,
    place,
    prefetch,
    put,
    scatter,
    word,
    zeros,
)
from fewer.kernels.cpu.team import BATCH, HALF, KERNEL, OPERANDS, X_STEP, Y_STEP, X, Y, share

STARTS, STEPS, VALUES, ROWS = range(OPERANDS, OPERANDS + 32, 8)
"""The first entry of each slice; the distances, 16 bytes an entry; the values, 16 an entry; the row of each lane, or -1."""
AHEAD = 4096  # bytes: see two_four


@njit
def vector(job, slice_, read, size):
    """Gathers sixteen inputs for each entry, two entries at a time."""
    starts = word(job + STARTS) + 8 * slice_
    first, entries = word(starts), word(starts + 8) - word(starts)
    steps, values = word(job + STEPS) + 16 * first, word(job + VALUES) + 16 * size * first
    for sample in range(word(job + BATCH)):
        x = word(job + X) + sample * word(job + X_STEP)
        at, a, b = no_columns(), zeros(), zeros()
        s, v = steps, values
        for _ in range(entries // 2):
            prefetch(v + AHEAD)
            if size == 4:
                prefetch(v + AHEAD + 64)
            prefetch(s + AHEAD // 4)
            at = add(at, load_bytes(s))
            a = fma(read(v), gather(x, at), a)
            at = add(at, load_bytes(s + 16))
            b = fma(read(v + 16 * size), gather(x, at), b)
            s += 32
            v += 32 * size
        if entries % 2:
            a = fma(read(v), gather(x, add(at, load_bytes(s))), a)
        scatter(word(job + Y) + sample * word(job + Y_STEP), load_ints(word(job + ROWS) + 64 * slice_), add(a, b))


@njit(fastmath={"contract", "reassoc"})
def plain(job, slice_, read, size):
    """One row of the slice after the other."""
    starts = word(job + STARTS) + 8 * slice_
    first, entries = word(starts), word(starts + 8) - word(starts)
    steps, values = word(job + STEPS) + 16 * first, word(job + VALUES) + 16 * size * first
    for sample in range(word(job + BATCH)):
        x = word(job + X) + sample * word(job + X_STEP)
        for lane in range(16):
            at = 0
            sum_ = number(x) * 0
            for e in range(entries):
                at += byte(steps + 16 * e + lane)
                sum_ += read(values + (16 * e + lane) * size) * number(x + 4 * at)
            row = place(word(job + ROWS) + 64 * slice_ + 4 * lane)
            if row >= 0:
                put(word(job + Y) + sample * word(job + Y_STEP) + 4 * row, sum_)


def avx512():
    @cfunc(KERNEL, cache=True)
    def sliced(job):
        if word(job + HALF):
            share(job, vector, load_half, 2)
        else:
            share(job, vector, load, 4)

    return sliced


def portable():
    @cfunc(KERNEL, cache=True)
    def sliced(job):
        if word(job + HALF):
            share(job, plain, number_half, 2)
        else:
            share(job, plain, number, 4)

    return sliced
