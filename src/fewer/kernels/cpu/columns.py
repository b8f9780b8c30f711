"""Products that read the weights of large inputs alone: weights lie by input, and an input's row is used or skipped whole.

A job is made of parts that read the same vectors (query, key and value). A piece of work is some outputs of one part for one
vector; each thread finds the large inputs for itself, which takes less than waiting for another thread to do it.
"""

from typing import Any

from numba import cfunc, njit

from fewer.kernels.cpu.column_lanes import beyond, gather_kept, numbered, room
from fewer.kernels.cpu.lanes import (
    claim,
    fma,
    load,
    load_half,
    number,
    number_half,
    ones,
    place,
    prefetch,
    put,
    spread,
    store,
    word,
    zeros,
)
from fewer.kernels.cpu.short_lanes import put_int
from fewer.kernels.cpu.team import BATCH, HALF, HALVINGS, KERNEL, OPERANDS, X_STEP, Y_STEP, X, Y

PARTS, PART, MOST = range(OPERANDS, OPERANDS + 24, 8)
"""Number of parts and where they are described; inputs and rank of the largest of them."""
WIDTH, THRESHOLDS, TABLE, STEP, OUTPUTS, AT, RANK, DOWN, FIRST = range(0, 72, 8)
"""Of a part: inputs (a multiple of 16); their thresholds; the rows and their distance in bytes; outputs (a multiple of 16) and
the byte of the result at which they begin; the rank of what stands in for small inputs (a multiple of 16, or 0), its first
factor, and the row of the table at which the second begins."""
PART_WORDS = 9
TOGETHER = 8  # rows that are added at once: each output is then loaded and stored once for eight
STRIP = 64  # outputs that a step goes through, in four independent sums
_AHEAD = 128  # bytes of each next row that are asked for early; the processor's own prefetching then runs on along the row


@njit
def found(x, thresholds, width, values, rows, keep):
    """Write values and row numbers of the large inputs (keep) or of the others, and eight fillers; returns how many."""
    n = 0
    for j in range(0, width, 16):
        inputs = load(x + 4 * j)
        mask = beyond(inputs, load(thresholds + 4 * j))
        if not keep:
            mask = ~mask
        gather_kept(values + 4 * n, inputs, mask)
        gather_kept(rows + 4 * n, numbered(j), mask)
        n += ones(mask)
    return n


@njit
def found_plain(x, thresholds, width, values, rows, keep):
    """As `found`, an input at a time."""
    n = 0
    for j in range(width):
        value = number(x + 4 * j)
        put(values + 4 * n, value)
        put_int(rows + 4 * n, j)
        n += (not abs(value) <= number(thresholds + 4 * j)) == keep
    return n


@njit
def _eight(sums, at, read, p0, p1, p2, p3, p4, p5, p6, p7, x0, x1, x2, x3, x4, x5, x6, x7):
    sums = fma(read(p0 + at), x0, sums)
    sums = fma(read(p1 + at), x1, sums)
    sums = fma(read(p2 + at), x2, sums)
    sums = fma(read(p3 + at), x3, sums)
    sums = fma(read(p4 + at), x4, sums)
    sums = fma(read(p5 + at), x5, sums)
    sums = fma(read(p6 + at), x6, sums)
    return fma(read(p7 + at), x7, sums)


@njit
def vector(values, rows, n, table, step, first, last, y, read, size):
    """y[first:last] = the sum of n values times their rows; eight rows at a time."""
    store(values + 4 * n, zeros())  # fillers: eight more of row 0, times 0
    store(rows + 4 * n, zeros())
    for o in range(first, last, 16):
        store(y + 4 * o, zeros())
    for g in range(0, n, TOGETHER):
        v, r = values + 4 * g, rows + 4 * g
        x0, x1, x2, x3 = spread(v), spread(v + 4), spread(v + 8), spread(v + 12)
        x4, x5, x6, x7 = spread(v + 16), spread(v + 20), spread(v + 24), spread(v + 28)
        t = table + size * first
        p0, p1, p2, p3 = t + step * place(r), t + step * place(r + 4), t + step * place(r + 8), t + step * place(r + 12)
        p4, p5, p6, p7 = t + step * place(r + 16), t + step * place(r + 20), t + step * place(r + 24), t + step * place(r + 28)
        if g + TOGETHER < n:
            for k in range(TOGETHER):
                row = t + step * place(r + 4 * (TOGETHER + k))
                for line in range(0, _AHEAD, 64):
                    prefetch(row + line)
        at, out = 0, y + 4 * first
        for _ in range((last - first) // STRIP):
            a, b, c, d = load(out), load(out + 64), load(out + 128), load(out + 192)
            a = _eight(a, at, read, p0, p1, p2, p3, p4, p5, p6, p7, x0, x1, x2, x3, x4, x5, x6, x7)
            b = _eight(b, at + 16 * size, read, p0, p1, p2, p3, p4, p5, p6, p7, x0, x1, x2, x3, x4, x5, x6, x7)
            c = _eight(c, at + 32 * size, read, p0, p1, p2, p3, p4, p5, p6, p7, x0, x1, x2, x3, x4, x5, x6, x7)
            d = _eight(d, at + 48 * size, read, p0, p1, p2, p3, p4, p5, p6, p7, x0, x1, x2, x3, x4, x5, x6, x7)
            store(out, a)
            store(out + 64, b)
            store(out + 128, c)
            store(out + 192, d)
            at, out = at + STRIP * size, out + 4 * STRIP
        for _ in range((last - first) % STRIP // 16):
            a = _eight(load(out), at, read, p0, p1, p2, p3, p4, p5, p6, p7, x0, x1, x2, x3, x4, x5, x6, x7)
            store(out, a)
            at, out = at + 16 * size, out + 64


@njit(fastmath={"contract"})
def plain(values, rows, n, table, step, first, last, y, read, size):
    """As `vector`, one row after the other."""
    for o in range(first, last):
        put(y + 4 * o, number(values) * 0)
    for g in range(n):
        value, row = number(values + 4 * g), table + step * place(rows + 4 * g)
        for o in range(first, last):
            put(y + 4 * o, number(y + 4 * o) + value * read(row + o * size))


@njit(forceinline=True)
def pieces(job, find, add, read, size):
    """Take pieces until none is left. Inlined, since numba keeps no kernel on disk in which functions are handed on."""
    most = word(job + MOST)
    values, rows, low = room(4 * most + 128), room(4 * most + 128), room(4 * most + 128)
    # One thread has each part to itself; more share its outputs, in pieces that are twice as many or more.
    cut = 1 if word(job + HALVINGS) == 1 else 1 << word(job + HALVINGS)
    parts, done, n = word(job + PARTS), -1, 0
    while True:
        unit = claim(job, 1)
        if unit >= word(job + BATCH) * parts * cut:
            break
        which = unit // cut
        sample, part = which // parts, word(job + PART) + 8 * PART_WORDS * (which % parts)
        table, step, rank = word(part + TABLE), word(part + STEP), word(part + RANK)
        if which != done:
            x, width, thresholds = word(job + X) + sample * word(job + X_STEP), word(part + WIDTH), word(part + THRESHOLDS)
            if rank:
                n = find(x, thresholds, width, values, rows, False)
                add(values, rows, n, word(part + DOWN), rank * size, 0, rank, low, read, size)
            n = find(x, thresholds, width, values, rows, True)
            for k in range(rank):  # the second factor's rows are like those of inputs that are never skipped
                put(values + 4 * n, number(low + 4 * k))
                put_int(rows + 4 * n, word(part + FIRST) + k)
                n += 1
            done = which
        strips = -(-word(part + OUTPUTS) // STRIP)
        piece = unit % cut
        first, last = strips * piece // cut * STRIP, min(strips * (piece + 1) // cut * STRIP, word(part + OUTPUTS))
        y = word(job + Y) + sample * word(job + Y_STEP) + word(part + AT)
        add(values, rows, n, table, step, first, last, y, read, size)


def avx512() -> Any:
    @cfunc(KERNEL, cache=True)
    def columns(job):
        if word(job + HALF):
            pieces(job, found, vector, load_half, 2)
        else:
            pieces(job, found, vector, load, 4)

    return columns


def portable() -> Any:
    @cfunc(KERNEL, cache=True)
    def columns(job):
        if word(job + HALF):
            pieces(job, found_plain, plain, number_half, 2)
        else:
            pieces(job, found_plain, plain, number, 4)

    return columns
