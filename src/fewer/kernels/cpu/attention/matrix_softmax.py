"""As `softmax`, by AMX: queries, keys and values are packed as parts in bfloat16, and outputs lie transposed [dim, QUERIES].

Both products then have a tile of sixteen rows that lie in memory as they are needed: keys times transposed queries, and
transposed values times weights. Logits come from three parts of either factor, outputs from three of the values and two of the
weights (see `matrix`).
"""

import numpy as np
from numba import njit

from fewer.kernels.cpu.attention.matrix import (
    configure,
    put_halves,
    put_pairs,
    release,
    transpose,
    upper,
)
from fewer.kernels.cpu.attention.matrix_beside import look, soften
from fewer.kernels.cpu.attention.matrix_products import FOUR, SIX, four_products, six_products
from fewer.kernels.cpu.attention.softmax import CHUNK, hide, queries_of, top_of, total_of
from fewer.kernels.cpu.attention.tiles import NOTHING, QUERIES, ROW, power, subtract, times
from fewer.kernels.cpu.lanes import fill, fma, load, number, place, put, store, word, zeros
from fewer.kernels.cpu.short_lanes import put_long


@njit
def enter():
    """Shape the eight registers: all of them whole."""
    shape = np.zeros(64, np.uint8)
    shape[0] = 1
    shape[16:32:2] = 64
    shape[48:56] = 16
    configure(shape.ctypes.data)
    shape[0] = 0  # numba frees an array after its last use, and taking its address is none


@njit
def leave():
    release()


@njit
def _padded(dim):
    """Components in the packed form: AMX takes 32 at once."""
    return (dim + 31) // 32 * 32


@njit
def _outputs_of(tile, dim):
    return queries_of(tile) + 6 * QUERIES * _padded(dim)


@njit
def state_bytes(dim):
    return 2 * ROW + (6 * QUERIES + ROW) * _padded(dim)


@njit
def chunk_bytes(dim):
    """Their number, three parts of the keys [CHUNK, dim], three of the transposed values [dim, CHUNK]."""
    return 64 + 12 * CHUNK * _padded(dim)


@njit
def scratch_bytes(dim):
    """Logits of two tiles, their new tops and shrinkage, weights in two parts, new outputs."""
    return 2 * ROW * (CHUNK + 2) + ROW * CHUNK + ROW * _padded(dim)


@njit
def _split(x):
    """Three bfloat16 parts of float32 numbers."""
    first = upper(x)
    rest = subtract(x, first)
    second = upper(rest)
    return first, second, upper(subtract(rest, second))


@njit
def begin(tile, dim, queries, step, count, scale, scratch):
    wide, goal, rows = _padded(dim), queries_of(tile), scratch
    factor = fill(scale)
    for d in range(0, wide, 16):
        for i in range(0, QUERIES, 16):
            some = min(16, count - i)
            if d < dim and some == 16:
                transpose(queries + i * step + 4 * d, step, 0, rows + 4 * i, ROW)
            else:
                for c in range(16):
                    store(rows + ROW * c + 4 * i, zeros())
                if d < dim:
                    for lane in range(some):
                        for c in range(16):
                            put(rows + ROW * c + 4 * (i + lane), number(queries + (i + lane) * step + 4 * (d + c)))
        for c in range(0, 16, 2):
            at = goal + ROW * ((d + c) // 2)
            for part in range(0, ROW, 64):
                a, b, e = _split(times(load(rows + ROW * c + part), factor))
                x, y, z = _split(times(load(rows + ROW * (c + 1) + part), factor))
                put_pairs(at + part, a, x)
                put_pairs(at + 2 * QUERIES * wide + part, b, y)
                put_pairs(at + 4 * QUERIES * wide + part, e, z)
    for at in range(_outputs_of(tile, dim), tile + state_bytes(dim), 64):
        store(at, zeros())
    for part in range(0, ROW, 64):
        store(top_of(tile) + part, fill(np.float32(NOTHING)))
        store(total_of(tile) + part, zeros())


@njit
def pack(chunk, dim, keys, key_step, values, value_step, indices, count, scratch):
    """Gather keys and values into the packed form, filled up with zeros to a multiple of 32."""
    wide, part_bytes = _padded(dim), 2 * CHUNK * _padded(dim)
    key_goal, value_goal = chunk + 64, chunk + 64 + 3 * part_bytes
    full = (count + 31) // 32 * 32
    put_long(chunk + 40, count)
    for j in range(count):
        row = keys + key_step * place(indices + 4 * j)
        for d in range(0, dim, 16):
            a, b, c = _split(load(row + 4 * d))
            at = key_goal + 2 * (j * wide + d)
            put_halves(at, a)
            put_halves(at + part_bytes, b)
            put_halves(at + 2 * part_bytes, c)
        if dim < wide:
            for part in range(3):
                put_halves(key_goal + part * part_bytes + 2 * (j * wide + dim), zeros())
    for j in range(count, full):
        for d in range(0, wide, 16):
            for part in range(3):
                put_halves(key_goal + part * part_bytes + 2 * (j * wide + d), zeros())
    for j in range(0, full, 16):
        some = min(16, count - j)
        for d in range(0, wide, 16):
            if d < dim and some == 16:
                transpose(values + 4 * d, value_step, indices + 4 * j, scratch, 64)
            else:
                for c in range(16):
                    store(scratch + 64 * c, zeros())
                if d < dim:
                    for i in range(some):
                        row = values + value_step * place(indices + 4 * (j + i)) + 4 * d
                        for c in range(16):
                            put(scratch + 64 * c + 4 * i, number(row + 4 * c))
            for c in range(16):
                x, y, z = _split(load(scratch + 64 * c))
                at = value_goal + 2 * ((d + c) * CHUNK + j)
                put_halves(at, x)
                put_halves(at + part_bytes, y)
                put_halves(at + 2 * part_bytes, z)


@njit
def absorb(tile, tiles, chunk, dim, offset, cells, scratch):
    """`tiles` tiles in a row take a chunk in; `offset` and `cells` as in `softmax.absorb`.

    While the matrix unit multiplies the keys with the queries of one tile, the vector units turn the logits of the tile before
    into weights; while it weighs values, they look for the largest logits of the next.
    """
    wide, part_bytes, count = _padded(dim), 2 * CHUNK * _padded(dim), word(chunk + 40)
    full, steps, size = (count + 31) // 32 * 32, wide // 32, state_bytes(dim)
    room = ROW * (CHUNK + 2)
    weights = scratch + 2 * room
    added = weights + ROW * CHUNK
    values = chunk + 64 + 3 * part_bytes
    slots = full // 32 * 2 * steps * SIX
    n = (2 * full + slots - 1) // slots
    for turn in range(tiles + 1):
        logits, before = scratch + turn % 2 * room, scratch + (turn + 1) % 2 * room
        own = tile + turn * size
        earlier = own - size
        pairs = 2 * full if turn else 0  # what there is to soften of the tile before
        if turn < tiles:
            slot = 0
            for j in range(0, full, 32):
                for i in range(0, QUERIES, 32):
                    six_products(
                        chunk + 64 + 2 * j * wide, part_bytes, 2 * wide,
                        queries_of(own) + 4 * i, 2 * QUERIES * wide, ROW,
                        steps, logits + ROW * j + 4 * i, ROW,
                        slot * n, n, pairs, before, top_of(earlier), total_of(earlier), weights,
                    )  # fmt: skip
                    slot += SIX * steps
            for at in range(logits + ROW * count, logits + ROW * full, 64):
                store(at, fill(np.float32(NOTHING)))
            if offset < count or cells:
                hide(logits, count, offset, cells)
            for part in range(0, ROW, 64):
                store(logits + ROW * CHUNK + part, load(top_of(own) + part))
        else:
            soften(0, pairs, pairs, before, top_of(earlier), total_of(earlier), weights)
        rows = full if turn < tiles else 0  # what there is to look through for largest logits
        if turn:
            slot = 0
            m = (full // 2 + full // 32 * 4 * FOUR - 1) // (full // 32 * 4 * FOUR) * (2 if steps == 1 else 1)
            for d in range(0, wide, 32):
                for i in range(0, QUERIES, 32):
                    four_products(
                        values + 2 * d * CHUNK, part_bytes, 2 * CHUNK,
                        weights + 4 * i, 2 * QUERIES * CHUNK, ROW,
                        full // 32, added + ROW * d + 4 * i, ROW,
                        slot * m, m, rows, logits, logits + ROW * CHUNK,
                    )  # fmt: skip
                    slot += FOUR * full // 32
            _add(_outputs_of(earlier, dim), added, before + ROW * (CHUNK + 1), dim)
            look(slot * m, rows, rows, logits, logits + ROW * CHUNK)
        else:
            look(0, rows, rows, logits, logits + ROW * CHUNK)
        if turn < tiles:
            _settle_tops(own, logits + ROW * CHUNK, logits + ROW * (CHUNK + 1))


@njit
def _settle_tops(tile, tops, shrink):
    """Take over new largest logits; `shrink` becomes what sums so far are to be multiplied by, and the totals are."""
    for part in range(0, ROW, 64):
        found = load(tops + part)
        by = power(subtract(load(top_of(tile) + part), found))
        store(top_of(tile) + part, found)
        store(shrink + part, by)
        store(total_of(tile) + part, times(load(total_of(tile) + part), by))


@njit
def _add(outputs, added, shrink, dim):
    for part in range(0, ROW, 64):
        by = load(shrink + part)
        for at in range(part, ROW * dim + part, ROW):
            store(outputs + at, fma(load(outputs + at), by, load(added + at)))


@njit
def finish(tile, dim, out, step, count, scratch):
    outputs = _outputs_of(tile, dim)
    for i in range(0, QUERIES, 16):
        for d in range(0, dim, 16):
            if i < count:
                transpose(outputs + ROW * d + 4 * i, ROW, 0, scratch, 64)
                for lane in range(min(16, count - i)):
                    seen = number(top_of(tile) + 4 * (i + lane)) > np.float32(NOTHING)
                    factor = fill(np.float32(1) / number(total_of(tile) + 4 * (i + lane)) if seen else np.float32(0))
                    store(out + (i + lane) * step + 4 * d, times(load(scratch + 64 * lane), factor))
