"""Attention by stripes: key columns that a whole group of queries shares, beside the first keys, the nearest ones and its own.

The columns are given, or found as anchor attention finds them: by the products of mean queries with all far keys, against what
the group has seen so far. A unit of work is a group in all heads that read one KV head; the sums over near keys, which give the
anchors, are the beginning of the sums over all kept keys.
"""

import numpy as np
from numba import njit

from fewer.kernels.cpu.attention.call import (
    DIM,
    HEADS,
    K_BATCH,
    K_HEAD,
    K_STEP,
    KV_HEADS,
    N_QUERIES,
    Q_BATCH,
    Q_HEAD,
    Q_STEP,
    SCALE,
    V_BATCH,
    V_HEAD,
    K,
    Q,
    V,
)
from fewer.kernels.cpu.attention.call import OPERANDS as OWN
from fewer.kernels.cpu.attention.paths import compiled
from fewer.kernels.cpu.attention.prefill import close_tiles, open_tiles, take, take_own
from fewer.kernels.cpu.attention.softmax import chunk_bytes, enter, leave, scratch_bytes, state_bytes, top_of, total_of
from fewer.kernels.cpu.attention.tiles import NOTHING, QUERIES, ROW, exceeds, products
from fewer.kernels.cpu.lanes import add, claim, load, number, put, store, word, zeros
from fewer.kernels.cpu.short_lanes import put_long
from fewer.kernels.cpu.team import OPERANDS as CALL

GROUP, INIT, LOCAL, BLOCK, THETAS, SUMS, STARTS, LISTS, KEPT = range(OWN, OWN + 72, 8)
"""Queries in a group, a multiple of QUERIES; first and nearest keys that are kept; queries in a block, whose mean is compared;
address of a theta a head, in units of log 2; is the anchor the log-sum-exp, not the largest logit?; addresses of where each
(sequence, head, group) has its columns, and of the columns, both 0 where they are to be found; where the counts go."""
KEYS = 16
"""Keys that are compared at once."""

_products = products(KEYS, 1)
_one_product = products(1, 1)


def stripes(job):
    """Units, the last and longest first: (group, sequence, KV head)."""
    call = word(job + CALL)
    kv_heads, dim, all_queries, group = word(call + KV_HEADS), word(call + DIM), word(call + N_QUERIES), word(call + GROUP)
    share, init, local = word(call + HEADS) // kv_heads, word(call + INIT), word(call + LOCAL)
    groups, units = (all_queries + group - 1) // group, word(job + 8)
    sequences = units // kv_heads // groups
    every = np.arange(all_queries).astype(np.int32)
    most = share * (group // QUERIES)  # tiles
    room = np.empty(most * state_bytes(dim) + chunk_bytes(dim) + scratch_bytes(dim) + 192, np.uint8)
    states = (room.ctypes.data + 63) // 64 * 64
    chunk = (states + most * state_bytes(dim) + 63) // 64 * 64
    scratch = (chunk + chunk_bytes(dim) + 63) // 64 * 64
    numbers = every.ctypes.data
    enter()
    found = np.empty((share, all_queries + 1), np.int32)
    counts = np.zeros(share, np.int64)
    compared = np.empty(ROW * (dim + KEYS + 2) // 4, np.float32)
    while True:
        unit = units - 1 - claim(job, 1)
        if unit < 0:
            break
        kv_head, sequence = unit % kv_heads, unit // kv_heads % sequences
        place = unit // kv_heads // sequences
        first = place * group
        count = min(group, all_queries - first)
        keys = word(call + K) + sequence * word(call + K_BATCH) + kv_head * word(call + K_HEAD)
        values = word(call + V) + sequence * word(call + V_BATCH) + kv_head * word(call + V_HEAD)
        tiles = open_tiles(call, sequence, kv_head, first, count, states, scratch)
        take_own(call, keys, values, states, tiles, first, count, numbers, chunk, scratch)
        near = max(first - local, 0)
        start = numbers + 4 * near
        take(call, keys, values, states, share * tiles, start, first - near, chunk, scratch)
        head = min(init, near)
        take(call, keys, values, states, share * tiles, numbers, head, chunk, scratch)
        if near > init:
            if word(call + STARTS) == 0:
                seek(call, sequence, kv_head, first, count, tiles, states, init, near, keys, numbers, compared, found, counts)
            for r in range(share):
                here = (sequence * word(call + HEADS) + kv_head * share + r) * groups + place
                columns, kept = found[r].ctypes.data, counts[r]
                if word(call + STARTS):
                    begins = word(word(call + STARTS) + 8 * here)
                    columns, kept = word(call + LISTS) + 4 * begins, word(word(call + STARTS) + 8 * here + 8) - begins
                put_long(word(call + KEPT) + 8 * here, kept)
                own = states + r * tiles * state_bytes(dim)
                take(call, keys, values, own, tiles, columns, kept, chunk, scratch)
        close_tiles(call, sequence, kv_head, first, count, tiles, states, scratch)
    leave()
    room[0] = every[0] = compared[0] = 0  # numba frees an array after its last use, and taking its address is none


def seek(call, sequence, kv_head, first, count, tiles, states, start, stop, keys, numbers, compared, found, counts):
    """Columns from `start` up to `stop` that come within theta of the anchor of some block: into `found`, and how many."""
    dim, block, heads = word(call + DIM), word(call + BLOCK), word(call + HEADS)
    share, blocks = heads // word(call + KV_HEADS), (count + block - 1) // block
    pooled = compared.ctypes.data
    least, logits = pooled + ROW * dim, pooled + ROW * (dim + 1)
    flags = np.zeros((share, stop), np.uint8)
    for lane in range(0, share * blocks, 16):
        for at in range(pooled, logits, 64):
            store(at, zeros())
        for i in range(16):
            r, t = (lane + i) // blocks, (lane + i) % blocks
            if r >= share:
                put(least + 4 * i, np.float32(-2 * NOTHING))
                continue
            some = min(block, count - t * block)
            source = word(call + Q) + sequence * word(call + Q_BATCH) + (kv_head * share + r) * word(call + Q_HEAD)
            _mean(
                source + (first + t * block) * word(call + Q_STEP),
                word(call + Q_STEP),
                some,
                dim,
                number(call + SCALE),
                pooled + 4 * i,
            )
            anchor = np.float32(0)
            for query in range(t * block, t * block + some):
                state = states + (r * tiles + query // QUERIES) * state_bytes(dim)
                anchor += number(top_of(state) + query % QUERIES * 4)
                if word(call + SUMS):
                    anchor += np.log2(number(total_of(state) + query % QUERIES * 4))
            put(least + 4 * i, anchor / np.float32(some) - number(word(call + THETAS) + 4 * (kv_head * share + r)))
        threshold = load(least)
        for j in range(start, stop, KEYS):
            some = min(KEYS, stop - j)
            if some == KEYS:
                _products(keys, word(call + K_STEP), numbers + 4 * j, dim, pooled, logits)
            else:
                for k in range(some):
                    _one_product(keys, word(call + K_STEP), numbers + 4 * (j + k), dim, pooled, logits + ROW * k)
            for k in range(some):
                bits = np.int64(exceeds(load(logits + ROW * k), threshold))
                if bits:
                    for r in range(lane // blocks, min(share, (lane + 15) // blocks + 1)):
                        low, high = max(r * blocks - lane, 0), min((r + 1) * blocks - lane, 16)
                        if bits & ((1 << high) - (1 << low)):
                            flags[r, j + k] = 1
    for r in range(share):
        kept = 0
        for j in range(start, stop):
            found[r, kept] = j
            kept += flags[r, j]
        counts[r] = kept


@njit
def _mean(queries, step, count, dim, scale, out):
    """Mean of rows, times the scale: component d to out + ROW * d."""
    for d in range(0, dim, 16):
        sums = zeros()
        for i in range(count):
            sums = add(sums, load(queries + i * step + 4 * d))
        # lane by lane: the sixteen lanes of other blocks stand between
        lanes = np.empty(16, np.float32)
        store(lanes.ctypes.data, sums)
        for c in range(16):
            put(out + ROW * (d + c), lanes[c] * scale / np.float32(count))


def kernel(path: str):
    """A C function for `team.run` with the address of a call as operand."""
    return compiled(path, open_tiles, close_tiles, take_own, take, seek, stripes)
