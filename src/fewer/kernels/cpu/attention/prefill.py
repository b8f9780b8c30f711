"""Dense attention of many queries: the twin that sparse attention has to beat. Plain functions, which `paths` compiles.

A unit of work is a group of tiles: some consecutive queries of all heads that read one KV head. Keys are taken in chunk by
chunk, each by every tile of the group, so that a chunk comes from far memory once, and is packed once.
"""

import numpy as np

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
from fewer.kernels.cpu.lanes import claim, number, word
from fewer.kernels.cpu.team import OPERANDS as CALL

GROUP = 8
"""Tiles of consecutive queries in a unit: their states and those of the other heads stay in the second cache."""


def open_tiles(call, sequence, kv_head, first, count, states, scratch):
    """Lay the queries of a group into tiles: head by head, tile by tile. Returns the number of tiles of a head."""
    share, dim = word(call + HEADS) // word(call + KV_HEADS), word(call + DIM)
    tiles, step, scale = (count + QUERIES - 1) // QUERIES, word(call + Q_STEP), number(call + SCALE)
    for head in range(share):
        source = word(call + Q) + sequence * word(call + Q_BATCH) + (kv_head * share + head) * word(call + Q_HEAD)
        for tile in range(tiles):
            start = first + tile * QUERIES
            rows = min(QUERIES, first + count - start)
            begin(states + (head * tiles + tile) * state_bytes(dim), dim, source + start * step, step, rows, scale, scratch)
    return tiles


def close_tiles(call, sequence, kv_head, first, count, tiles, states, scratch):
    """Write what the tiles of a group came to."""
    share, dim = word(call + HEADS) // word(call + KV_HEADS), word(call + DIM)
    step = word(call + OUT_STEP)
    for head in range(share):
        goal = word(call + OUT) + sequence * word(call + OUT_BATCH) + (kv_head * share + head) * word(call + OUT_HEAD)
        for tile in range(tiles):
            start = first + tile * QUERIES
            rows = min(QUERIES, first + count - start)
            finish(states + (head * tiles + tile) * state_bytes(dim), dim, goal + start * step, step, rows, scratch)


def take_own(call, keys, values, states, tiles, start, count, every, chunk, scratch):
    """The tiles of a group take in its own keys, `start` on, of which a query sees those up to its own."""
    share, dim = word(call + HEADS) // word(call + KV_HEADS), word(call + DIM)
    for own in range(tiles):
        some = min(QUERIES, count - own * QUERIES)
        at = every + 4 * (start + own * QUERIES)
        pack(chunk, dim, keys, word(call + K_STEP), values, word(call + V_STEP), at, some, scratch)
        for head in range(share):
            tile = states + (head * tiles + own) * state_bytes(dim)
            absorb(tile, 1, chunk, dim, 0, 0, scratch)
            absorb(tile + state_bytes(dim), tiles - own - 1, chunk, dim, EVERYONE, 0, scratch)


def take(call, keys, values, states, tiles, indices, count, chunk, scratch):
    """`tiles` tiles in a row take in keys that all of their queries see."""
    dim = word(call + DIM)
    for done in range(0, count, CHUNK):
        some = min(CHUNK, count - done)
        pack(chunk, dim, keys, word(call + K_STEP), values, word(call + V_STEP), indices + 4 * done, some, scratch)
        absorb(states, tiles, chunk, dim, EVERYONE, 0, scratch)


def dense(job):
    """Units, the last and longest first: (group, sequence, KV head)."""
    call = word(job + CALL)
    kv_heads, dim, all_keys, all_queries = word(call + KV_HEADS), word(call + DIM), word(call + N_KEYS), word(call + N_QUERIES)
    share = word(call + HEADS) // kv_heads
    groups = (all_queries + GROUP * QUERIES - 1) // (GROUP * QUERIES)
    units = word(job + 8)
    sequences = units // kv_heads // groups
    every = np.arange(all_keys).astype(np.int32)
    room = np.empty(share * GROUP * state_bytes(dim) + chunk_bytes(dim) + scratch_bytes(dim) + 192, np.uint8)
    states = (room.ctypes.data + 63) // 64 * 64
    chunk = (states + share * GROUP * state_bytes(dim) + 63) // 64 * 64
    scratch = (chunk + chunk_bytes(dim) + 63) // 64 * 64
    numbers = every.ctypes.data
    enter()
    while True:
        unit = units - 1 - claim(job, 1)
        if unit < 0:
            break
        kv_head, sequence = unit % kv_heads, unit // kv_heads % sequences
        first = unit // kv_heads // sequences * GROUP * QUERIES
        count = min(GROUP * QUERIES, all_queries - first)
        keys = word(call + K) + sequence * word(call + K_BATCH) + kv_head * word(call + K_HEAD)
        values = word(call + V) + sequence * word(call + V_BATCH) + kv_head * word(call + V_HEAD)
        tiles = open_tiles(call, sequence, kv_head, first, count, states, scratch)
        before = all_keys
        if word(call + CAUSAL):
            before = all_keys - all_queries + first
            take_own(call, keys, values, states, tiles, before, count, numbers, chunk, scratch)
        take(call, keys, values, states, share * tiles, numbers, before, chunk, scratch)
        close_tiles(call, sequence, kv_head, first, count, tiles, states, scratch)
    leave()
    room[0] = every[0] = 0  # numba frees an array after its last use, and taking its address is none


def kernel(path: str):
    """A C function for `team.run` with the address of a call as operand."""
    return compiled(path, open_tiles, close_tiles, take_own, take, dense)
