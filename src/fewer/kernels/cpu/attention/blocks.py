"""Attention to blocks of keys: every block of queries reads those that its row of a mask keeps.

A unit of work is a block of queries of one head, or one tile where blocks end inside of tiles. The queries of such a tile read
the blocks that any of them keeps, and the cells of the others are left out: that costs what the larger set costs.
"""

import numpy as np
from numba import njit

from fewer.kernels.cpu.attention.call import (
    CAUSAL,
    DIM,
    HEADS,
    K_BATCH,
    K_HEAD,
    K_STEP,
    KV_HEADS,
    N_KEYS,
    N_QUERIES,
    OPERANDS,
    OUT,
    OUT_BATCH,
    OUT_HEAD,
    OUT_STEP,
    Q_BATCH,
    Q_HEAD,
    Q_STEP,
    SCALE,
    V_BATCH,
    V_HEAD,
    V_STEP,
    K,
    Q,
    V,
)
from fewer.kernels.cpu.attention.paths import compiled
from fewer.kernels.cpu.attention.softmax import (
    CHUNK,
    EVERYONE,
    absorb,
    begin,
    chunk_bytes,
    enter,
    finish,
    leave,
    pack,
    scratch_bytes,
    state_bytes,
)
from fewer.kernels.cpu.attention.tiles import QUERIES
from fewer.kernels.cpu.lanes import byte, claim, number, word
from fewer.kernels.cpu.team import OPERANDS as CALL

MASK, MASK_BATCH, MASK_HEAD, MASK_ROW, BLOCK = range(OPERANDS, OPERANDS + 40, 8)
"""Where the mask is, a byte a block; the bytes from one sequence, head and block of queries to the next; tokens in a block."""


@njit
def span(block):
    """Queries of a unit."""
    return block if block % QUERIES == 0 else QUERIES


@njit
def listed(rows, row_step, block, first, count, start, stop, position, indices, cells):
    """Write the keys of [start, stop) that any of `count` queries from `first` on keeps, each with a bit for every query that
    keeps it. Queries see no key after their own; the first is at `position`. Returns the number of keys.
    """
    found, whole = 0, np.int64(-1)
    for column in range(start // block, (stop + block - 1) // block):
        bits = np.int64(0)
        for row in range(first // block, (first + count - 1) // block + 1):
            if byte(rows + row * row_step + column):
                end = (row + 1) * block - first
                after = whole << np.int64(end) if end < 64 else np.int64(0)
                bits |= (whole << np.int64(max(row * block - first, 0))) & ~after
        if bits:
            for key in range(max(start, column * block), min(stop, (column + 1) * block)):
                seen = bits & (whole << np.int64(key - position)) if key > position else bits
                if seen:
                    indices[found], cells[found] = key, seen
                    found += 1
    return found


def take(call, k, v, states, tiles, numbers, bits, count, chunk, scratch):
    """Tiles in a row take in listed keys: all of them, or one tile those whose bits are set."""
    dim = word(call + DIM)
    for done in range(0, count, CHUNK):
        some = min(CHUNK, count - done)
        pack(chunk, dim, k, word(call + K_STEP), v, word(call + V_STEP), numbers + 4 * done, some, scratch)
        absorb(states, tiles, chunk, dim, EVERYONE, bits + 8 * done if bits else 0, scratch)


def blockwise(job):
    """Units, the last and longest first: (queries, sequence, head)."""
    call = word(job + CALL)
    heads, dim, keys, queries = word(call + HEADS), word(call + DIM), word(call + N_KEYS), word(call + N_QUERIES)
    share, block, causal, units = heads // word(call + KV_HEADS), word(call + BLOCK), word(call + CAUSAL), word(job + 8)
    together = span(block)
    each = units // ((queries + together - 1) // together)
    most, size = together // QUERIES, state_bytes(dim)
    room = np.empty(most * size + chunk_bytes(dim) + scratch_bytes(dim) + 192, np.uint8)
    states = (room.ctypes.data + 63) // 64 * 64
    chunk = (states + most * size + 63) // 64 * 64
    scratch = (chunk + chunk_bytes(dim) + 63) // 64 * 64
    indices, cells = np.empty(keys, np.int32), np.empty(keys, np.int64)
    numbers, bits = indices.ctypes.data, cells.ctypes.data
    enter()
    q_step, out_step = word(call + Q_STEP), word(call + OUT_STEP)
    while True:
        unit = units - 1 - claim(job, 1)
        if unit < 0:
            break
        head, sequence, first = unit % heads, unit % each // heads, unit // each * together
        k = word(call + K) + sequence * word(call + K_BATCH) + head // share * word(call + K_HEAD)
        v = word(call + V) + sequence * word(call + V_BATCH) + head // share * word(call + V_HEAD)
        q = word(call + Q) + sequence * word(call + Q_BATCH) + head * word(call + Q_HEAD)
        out = word(call + OUT) + sequence * word(call + OUT_BATCH) + head * word(call + OUT_HEAD)
        rows = word(call + MASK) + sequence * word(call + MASK_BATCH) + head * word(call + MASK_HEAD)
        count = min(together, queries - first)
        tiles = (count + QUERIES - 1) // QUERIES
        for tile in range(tiles):
            start, some = first + tile * QUERIES, min(QUERIES, count - tile * QUERIES)
            begin(states + tile * size, dim, q + start * q_step, q_step, some, number(call + SCALE), scratch)
        position = keys - queries + first if causal else keys
        seen_by_all = min(position + 1, keys)
        n = listed(rows, word(call + MASK_ROW), block, first, min(count, QUERIES), 0, seen_by_all, position, indices, cells)
        take(call, k, v, states, tiles, numbers, bits if block % QUERIES else 0, n, chunk, scratch)
        for tile in range(tiles if causal else 0):
            start, some = first + tile * QUERIES, min(QUERIES, count - tile * QUERIES)
            at = position + tile * QUERIES
            n = listed(rows, word(call + MASK_ROW), block, start, some, seen_by_all, at + some, at, indices, cells)
            take(call, k, v, states + tile * size, 1, numbers, bits, n, chunk, scratch)
        for tile in range(tiles):
            start, some = first + tile * QUERIES, min(QUERIES, count - tile * QUERIES)
            finish(states + tile * size, dim, out + start * out_step, out_step, some, scratch)
    leave()
    room[0] = indices[0] = cells[0] = 0  # numba frees an array after its last use, and taking its address is none


def kernel(path: str):
    """A C function for `team.run` with the address of a call as operand."""
    return compiled(path, take, blockwise)
