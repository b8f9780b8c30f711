"""The keys of the largest scores, from the logits of decoding: softmax weights summed over a group of heads, or a head's own.

The least score that is still kept is found by halving: to count what reaches a bound is one comparison for sixteen keys.
"""

from typing import Any

import numpy as np
from numba import cfunc, njit

from fewer.kernels.cpu.attention.decode_lanes import LEAST, at_least, ordered, ordered_one, peak, store_ints
from fewer.kernels.cpu.attention.tiles import larger, power, subtract
from fewer.kernels.cpu.column_lanes import gather_kept, numbered
from fewer.kernels.cpu.lanes import add, fill, fma, load, number, ones, place, put, store, total, word, zeros
from fewer.kernels.cpu.short_lanes import put_int, put_long
from fewer.kernels.cpu.team import KERNEL, OPERANDS, share

LOGITS, SCORES, OUT, OUT_STEP, WRONG, WIDTH, KEYS, CANDIDATES, COUNT, HEADS, TOGETHER = range(OPERANDS, OPERANDS + 88, 8)
"""Rows of logits, each of WIDTH floats, of all heads, which may be written over; room for WIDTH integers a set; the lists and
their distance in bytes; where to say that logits are not finite; keys, and how many of the first of them are ranked; how many
are kept, the last key among them where it is not ranked; heads in all, and of a set."""


@njit(forceinline=True)
def summed(logits, scores, width, together):
    """Scores = softmax weights summed over rows, as integers of the same order; returns a number that is 0 if all is finite."""
    bad = zeros()
    for h in range(together):
        row = logits + 4 * width * h
        most = load(row)
        for j in range(16, width, 16):
            most = larger(most, load(row + 4 * j))
        top, sums = fill(peak(most)), zeros()
        for j in range(0, width, 16):
            x = load(row + 4 * j)
            bad = fma(x, zeros(), bad)
            w = power(subtract(x, top))
            store(row + 4 * j, w)
            sums = add(sums, w)
        factor = fill(np.float32(1) / total(sums))
        for j in range(0, width, 16):
            before = load(scores + 4 * j) if h else zeros()
            store(scores + 4 * j, fma(load(row + 4 * j), factor, before))
    for j in range(0, width, 16):
        store_ints(scores + 4 * j, ordered(load(scores + 4 * j)))
    return total(bad)


@njit(forceinline=True)
def own(logits, scores, width):
    """As `summed`, of one row: its logits have the order of its weights."""
    bad = zeros()
    for j in range(0, width, 16):
        x = load(logits + 4 * j)
        bad = fma(x, zeros(), bad)
        store_ints(scores + 4 * j, ordered(x))
    return total(bad)


@njit
def summed_plain(logits, scores, width, together):
    """As `summed`, a key at a time."""
    bad = np.float32(0)
    for h in range(together):
        row = logits + 4 * width * h
        top, sum_ = number(row), np.float32(0)
        for j in range(width):
            top = max(top, number(row + 4 * j))
            bad += number(row + 4 * j) * np.float32(0)
        for j in range(width):
            w = np.exp2(number(row + 4 * j) - top)
            put(row + 4 * j, w)
            sum_ += w
        for j in range(width):
            before = number(scores + 4 * j) if h else np.float32(0)
            put(scores + 4 * j, before + number(row + 4 * j) / sum_)
    for j in range(width):
        put_int(scores + 4 * j, ordered_one(number(scores + 4 * j)))
    return bad


@njit
def own_plain(logits, scores, width):
    """As `own`, a key at a time."""
    bad = np.float32(0)
    for j in range(width):
        bad += number(logits + 4 * j) * np.float32(0)
        put_int(scores + 4 * j, ordered_one(number(logits + 4 * j)))
    return bad


@njit
def reaching(scores, width, least):
    """How many scores are at least `least`."""
    count = 0
    for j in range(0, width, 16):
        count += ones(at_least(scores + 4 * j, np.int32(least)))
    return count


@njit
def reaching_plain(scores, width, least):
    """As `reaching`, one at a time."""
    count = 0
    for j in range(width):
        count += place(scores + 4 * j) >= least
    return count


@njit
def listed(scores, width, least, room, out):
    """Ascending places of all scores above `least`, and of the first `room` that equal it."""
    n = 0
    for j in range(0, width, 16):
        mask = at_least(scores + 4 * j, np.int32(least))
        if mask:
            above = at_least(scores + 4 * j, np.int32(least + 1))
            equal = mask ^ above
            for lane in range(16):
                if equal >> lane & 1:
                    if room > 0:
                        above |= np.uint16(1 << lane)
                    room -= 1
            gather_kept(out + 4 * n, numbered(j), np.uint16(above))
            n += ones(np.uint16(above))
    return n


@njit
def listed_plain(scores, width, least, room, out):
    """As `listed`, one at a time."""
    n = 0
    for j in range(width):
        score = place(scores + 4 * j)
        if score > least or (score == least and room > 0):
            room -= score == least
            put_int(out + 4 * n, j)
            n += 1
    return n


@njit(forceinline=True)
def one_set(job, unit, sum_, own_, count_, list_):
    """Score, then select, for one set."""
    width, together, count = word(job + WIDTH), word(job + TOGETHER), word(job + COUNT)
    candidates, keys = word(job + CANDIDATES), word(job + KEYS)
    logits, scores = word(job + LOGITS) + 4 * width * together * unit, word(job + SCORES) + 4 * width * unit
    out = word(job + OUT) + word(job + OUT_STEP) * unit
    bad = sum_(logits, scores, width, together) if together > 1 else own_(logits, scores, width)
    if bad != 0:
        put_long(word(job + WRONG), 1)
    for j in range(candidates, width):
        put_int(scores + 4 * j, LEAST)
    wanted = count - (candidates < keys)
    # the largest bound that at least `wanted` scores reach
    low, high = np.int64(LEAST), np.int64(2**31 - 1)
    while low < high:
        bound = (low + high + 1) >> 1
        reached = count_(scores, width, bound)
        if reached >= wanted:
            low = bound
            if reached == wanted:
                break
        else:
            high = bound - 1
    above = count_(scores, width, low + 1)
    n = list_(scores, width, low, wanted - above, out)
    if candidates < keys:
        put_int(out + 4 * n, keys - 1)


@njit(forceinline=True)
def vector(job, unit, _read, _size):
    one_set(job, unit, summed, own, reaching, listed)


@njit(forceinline=True)
def plain(job, unit, _read, _size):
    one_set(job, unit, summed_plain, own_plain, reaching_plain, listed_plain)


def avx512() -> Any:
    @cfunc(KERNEL, cache=True)
    def choose(job):
        share(job, vector, load, 4)

    return choose


def portable() -> Any:
    @cfunc(KERNEL, cache=True)
    def choose(job):
        share(job, plain, number, 4)

    return choose
