"""One tile of queries under way, by vector instructions: its queries, what it has summed so far, and how keys are taken in.

The state of a tile in memory, float32: the largest logit of each query, the total of its weights relative to that, the queries,
transposed and scaled [dim, QUERIES], and the outputs [QUERIES, dim]. Logits are in units of log 2. A chunk of keys is where
they lie. `matrix_softmax` has functions of the same names and arguments for processors with AMX.
"""

import numpy as np
from numba import njit

from fewer.kernels.cpu.attention.tiles import (
    NOTHING,
    QUERIES,
    ROW,
    larger,
    power,
    products,
    soften,
    subtract,
    sums,
    times,
    where,
)
from fewer.kernels.cpu.lanes import fill, load, mask, number, put, store, word, zeros
from fewer.kernels.cpu.short_lanes import put_long

CHUNK = 96
"""Keys taken in at once, at most: their logits stay in the first cache."""
EVERYONE = 1 << 30
"""An offset at which every query sees every key of a chunk."""

_products_6, _products_1, _sums_6, _sums_4 = products(6, 4), products(1, 4), sums(6, 4), sums(4, 4)
_sums_6_narrow, _sums_4_narrow = sums(6, 1), sums(4, 1)
_products_2, _products_1_narrow = products(2, 2), products(1, 2)


@njit
def enter():
    """What a thread does before it begins: nothing."""


@njit
def leave():
    """What a thread does when it ends: nothing."""


@njit
def top_of(tile):
    return tile


@njit
def total_of(tile):
    return tile + ROW


@njit
def queries_of(tile):
    return tile + 2 * ROW


@njit
def outputs_of(tile, dim):
    return tile + 2 * ROW + ROW * dim


@njit
def state_bytes(dim):
    """Bytes of a tile's state."""
    return 2 * ROW + 2 * ROW * dim


@njit
def chunk_bytes(dim):
    """Bytes of a packed chunk: here only where it lies."""
    return 64


@njit
def scratch_bytes(dim):
    """Bytes for the logits of a chunk, and what each query's outputs shrink by."""
    return ROW * (CHUNK + 1)


@njit
def begin(tile, dim, queries, step, count, scale, scratch):
    """Lay `count` queries, `step` bytes apart, into an empty tile; `scale` is in units of log 2. Others are zeros."""
    for d in range(dim):
        for i in range(count):
            put(queries_of(tile) + ROW * d + 4 * i, number(queries + i * step + 4 * d) * scale)
        for i in range(count, QUERIES):
            put(queries_of(tile) + ROW * d + 4 * i, np.float32(0))
    for at in range(outputs_of(tile, dim), tile + state_bytes(dim), 64):
        store(at, zeros())
    for part in range(0, ROW, 64):
        store(top_of(tile) + part, fill(np.float32(NOTHING)))
        store(total_of(tile) + part, zeros())


@njit
def pack(chunk, dim, keys, key_step, values, value_step, indices, count, scratch):
    """Name the keys of a chunk: `count` up to CHUNK rows, by their 32-bit indices."""
    put_long(chunk, keys)
    put_long(chunk + 8, key_step)
    put_long(chunk + 16, values)
    put_long(chunk + 24, value_step)
    put_long(chunk + 32, indices)
    put_long(chunk + 40, count)


@njit
def hide(logits, count, offset, cells):
    """Leave out cells: key j is seen by queries from j - offset on, and, unless `cells` is 0, by those whose bit is set in its
    64-bit word there.
    """
    for j in range(max(0, offset + 1), count):
        for lane in range(0, min(j - offset, QUERIES)):
            put(logits + ROW * j + 4 * lane, np.float32(NOTHING))
    if cells:
        nothing = fill(np.float32(NOTHING))
        for j in range(count):
            for part in range(4):
                at = logits + ROW * j + 64 * part
                store(at, where(mask(cells + 8 * j + 2 * part), load(at), nothing))


@njit
def raise_tops(tile, logits, count, shrink):
    """New largest logits; at `shrink`, by what each query's sums so far are to be multiplied. Totals are, at once."""
    top, total = top_of(tile), total_of(tile)
    for part in range(0, ROW, 64):
        before = load(top + part)
        found = before
        for at in range(logits + part, logits + part + ROW * count, ROW):
            found = larger(found, load(at))
        store(top + part, found)
        by = power(subtract(before, found))
        store(shrink + part, by)
        store(total + part, times(load(total + part), by))


def absorb_one(tile, chunk, dim, offset, cells, scratch):
    """One tile takes a chunk in: see `hide` for `offset` and `cells`. `paths` binds and compiles it."""
    count, logits, shrink = word(chunk + 40), scratch, scratch + ROW * CHUNK
    multiply(word(chunk), word(chunk + 8), word(chunk + 32), count, dim, queries_of(tile), logits)
    if offset < count or cells:
        hide(logits, count, offset, cells)
    raise_tops(tile, logits, count, shrink)
    for i in range(QUERIES):
        if number(shrink + 4 * i) != np.float32(1):
            factor = fill(number(shrink + 4 * i))
            for at in range(outputs_of(tile, dim) + 4 * dim * i, outputs_of(tile, dim) + 4 * dim * (i + 1), 64):
                store(at, times(load(at), factor))
    soften(logits, count, top_of(tile), total_of(tile))
    combine(word(chunk + 16), word(chunk + 24), word(chunk + 32), count, logits, outputs_of(tile, dim), dim)


@njit
def vector_multiply(keys, step, indices, count, dim, queries, out):
    """Logits of `count` keys. For 32 vector registers of 16 lanes."""
    j = 0
    while j + 6 <= count:
        _products_6(keys, step, indices + 4 * j, dim, queries, out + ROW * j)
        j += 6
    while j < count:
        _products_1(keys, step, indices + 4 * j, dim, queries, out + ROW * j)
        j += 1


@njit
def vector_combine(values, step, indices, count, weights, out, dim):
    """Adds weighted values to the outputs of a tile. For 32 vector registers of 16 lanes."""
    part = 0
    while part + 64 <= dim:
        for r in range(0, 60, 6):
            _sums_6(values + 4 * part, step, indices, count, weights + 4 * r, out + 4 * (r * dim + part), 4 * dim)
        _sums_4(values + 4 * part, step, indices, count, weights + 240, out + 4 * (60 * dim + part), 4 * dim)
        part += 64
    while part < dim:
        for r in range(0, 60, 6):
            _sums_6_narrow(values + 4 * part, step, indices, count, weights + 4 * r, out + 4 * (r * dim + part), 4 * dim)
        _sums_4_narrow(values + 4 * part, step, indices, count, weights + 240, out + 4 * (60 * dim + part), 4 * dim)
        part += 16


@njit
def plain_multiply(keys, step, indices, count, dim, queries, out):
    """As `vector_multiply`, for fewer or narrower registers."""
    for columns in range(0, ROW, 128):
        j = 0
        while j + 2 <= count:
            _products_2(keys, step, indices + 4 * j, dim, queries + columns, out + ROW * j + columns)
            j += 2
        while j < count:
            _products_1_narrow(keys, step, indices + 4 * j, dim, queries + columns, out + ROW * j + columns)
            j += 1


@njit
def plain_combine(values, step, indices, count, weights, out, dim):
    """As `vector_combine`, for fewer or narrower registers."""
    for part in range(0, dim, 16):
        for r in range(0, QUERIES, 4):
            _sums_4_narrow(values + 4 * part, step, indices, count, weights + 4 * r, out + 4 * (r * dim + part), 4 * dim)


def absorb(tile, tiles, chunk, dim, offset, cells, scratch):
    """`tiles` tiles in a row take a chunk in; `offset` and `cells`, of all tiles, as in `hide`. `paths` compiles it."""
    for n in range(tiles):
        absorb_one(tile + n * state_bytes(dim), chunk, dim, offset, cells, scratch)


multiply, combine = vector_multiply, vector_combine


@njit
def finish(tile, dim, out, step, count, scratch):
    """Write the outputs of the first `count` queries, `step` bytes apart; zeros for a query that saw no key."""
    for i in range(count):
        seen = number(top_of(tile) + 4 * i) > np.float32(NOTHING)
        factor = fill(np.float32(1) / number(total_of(tile) + 4 * i) if seen else np.float32(0))
        for d in range(0, 4 * dim, 64):
            store(out + i * step + d, times(load(outputs_of(tile, dim) + 4 * dim * i + d), factor))
