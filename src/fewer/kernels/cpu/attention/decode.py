"""Attention of one query a head, to all cached keys or to listed ones.

Time is that of reading keys and values, so query heads that read the same ones are served together, a tile of keys at a time:
while a tile is worked on, the next one's keys and values are asked for. A unit of work is a group of heads with a part of its
keys; where a group has several parts, `join` makes one softmax of them. In a cache where a token's keys and values of all KV
heads lie side by side a unit visits all of these heads: memory is fastest at long rows.
"""

from typing import Any

import numpy as np
from numba import cfunc, njit

from fewer.kernels.cpu.attention.decode_lanes import peak, prefetch_far
from fewer.kernels.cpu.attention.decode_tiles import (
    MOST,
    ROWS,
    half_products_1,
    half_products_2,
    half_products_3,
    half_rest,
    half_sums_1,
    half_sums_2,
    half_sums_3,
    products_1,
    products_2,
    products_3,
    rest,
    sums_1,
    sums_2,
    sums_3,
)
from fewer.kernels.cpu.attention.tiles import NOTHING, larger, power, subtract
from fewer.kernels.cpu.column_lanes import room
from fewer.kernels.cpu.lanes import (
    add,
    fill,
    fma,
    load,
    load_half,
    number,
    number_half,
    place,
    put,
    store,
    total,
    word,
    zeros,
)
from fewer.kernels.cpu.short_lanes import put_long
from fewer.kernels.cpu.team import KERNEL, OPERANDS, share

TILE = 64
"""Keys in a step: what it has for each group of heads lies in the first cache, the keys and values after them in the second."""
ASKED = 4096
"""Bytes of a row that are asked for, at most: rows of a few hundred bytes and more come slowly without, even in order."""
SHORTEST = 128
"""Keys in a part, at least; of several KV heads together in proportion fewer."""

(
    Q,
    K,
    V,
    OUT,
    LISTS,
    LOGITS,
    PARTIAL,
    WRONG,
    Q_BATCH,
    Q_HEAD,
    K_BATCH,
    K_HEAD,
    K_STEP,
    V_BATCH,
    V_HEAD,
    V_STEP,
    LIST_BATCH,
    LIST_STEP,
    HEADS,
    TOGETHER,
    SHARE,
    DIM,
    KEYS,
    LENGTH,
    PARTS,
    WIDTH,
    HALF,
    LONG,
    VISITED,
    ROW,
    ROW_AT,
    SCALE,
) = range(0, 8 * 32, 8)
"""Of a call: where queries, keys, values, results, lists, logits and partial results lie, and where to say that a list is wrong
(0 where there is none); their distances in bytes; query heads in all, in a group, and to a KV head; components of a head; keys;
entries of a list (or keys); parts of each group; floats of a row of logits; are keys and values bfloat16, are lists of 64 bits?
Groups that a unit visits together (0: one); bytes that these have of a key, keys and values side by side (0: they are not), and
where they begin, from K on. The scale times log2(e), as the bits of a float32."""


@njit
def found(call, keys_list, at, end, rows):
    """Write the keys of a tile to `rows`, filled up with the last; returns how many there are."""
    count, last = 0, 0
    for j in range(at, min(at + TILE, end)):
        key = j
        if keys_list:
            key = word(keys_list + 8 * j) if word(call + LONG) else place(keys_list + 4 * j)
            if key < 0:
                continue
            if key >= word(call + KEYS):
                put_long(word(call + WRONG), 1)
                continue
        put_long(rows + 8 * count, key)
        last = key
        count += 1
    for j in range(count, TILE):
        put_long(rows + 8 * j, last)
    return count


@njit
def ask(rows, first, count, spans):
    """Ask for what `count` keys have in both spans, from number `first` of a tile on."""
    for j in range(first, min(first + count, TILE)):
        key = word(rows + 8 * j)
        for span in range(spans, spans + 48, 24):
            row = word(span) + word(span + 8) * key
            for line in range(0, word(span + 16), 64):
                prefetch_far(row + line)


@njit(forceinline=True)
def multiply(heads, q, dim, rows, count, k, k_step, logits, read, size, next_, asked, each, spans):
    """Logits of some heads' queries with a tile of keys, eight at a time; beside these, `each` rows of the next."""
    for j in range(0, count, ROWS):
        r, out = rows + 8 * j, logits + 4 * j
        ask(next_, asked, each, spans)
        asked += each
        if size == 4:
            if heads == 1:
                products_1(q, 4 * dim, r, k, k_step, dim // 16, out, 4 * TILE)
            elif heads == 2:
                products_2(q, 4 * dim, r, k, k_step, dim // 16, out, 4 * TILE)
            else:
                products_3(q, 4 * dim, r, k, k_step, dim // 16, out, 4 * TILE)
        elif heads == 1:
            half_products_1(q, 4 * dim, r, k, k_step, dim // 16, out, 4 * TILE)
        elif heads == 2:
            half_products_2(q, 4 * dim, r, k, k_step, dim // 16, out, 4 * TILE)
        else:
            half_products_3(q, 4 * dim, r, k, k_step, dim // 16, out, 4 * TILE)


@njit(forceinline=True)
def multiply_plain(heads, q, dim, rows, count, k, k_step, logits, read, size, next_, asked, each, spans):
    """As `multiply`, one key after the other."""
    for h in range(heads):
        for j in range(count):
            put(logits + 4 * (h * TILE + j), dot(q + 4 * h * dim, k + k_step * word(rows + 8 * j), dim, read, size))


@njit(fastmath={"contract", "reassoc"})
def dot(q, row, dim, read, size):
    sum_ = number(q) * 0
    for i in range(dim):
        sum_ += number(q + 4 * i) * read(row + i * size)
    return sum_


@njit(forceinline=True)
def soften(logits, weights, before):
    """Weights 2^(logit - peak) of a tile; returns the peak, by what earlier sums are to be multiplied, and the weights' sum."""
    most = larger(fill(before), load(logits))
    for j in range(16, TILE, 16):
        most = larger(most, load(logits + 4 * j))
    now = peak(most)
    top, sums = fill(now), zeros()
    for j in range(0, TILE, 16):
        x = load(logits + 4 * j)
        w = power(subtract(x, top))
        store(weights + 4 * j, w)
        sums = add(sums, fma(x, zeros(), w))  # a logit that is not finite spoils the result, where `power` would hide it
    return now, peak(power(subtract(fill(before), top))), total(sums)


@njit(forceinline=True)
def soften_plain(logits, weights, before):
    """As `soften`, a key at a time."""
    now = before
    for j in range(TILE):
        now = max(now, number(logits + 4 * j))
    sum_ = now * 0
    for j in range(TILE):
        w = np.exp2(number(logits + 4 * j) - now)
        put(weights + 4 * j, w)
        sum_ += w
    return now, np.exp2(before - now), sum_


@njit(forceinline=True)
def combine(heads, sums, dim, weights, shrinks, rows, count, v, v_step, read, size):
    """Some heads' sums times their `shrinks`, and a tile's values by their weights; 64 components at a time."""
    even = count + count % 2  # what fills a tile up has no weight
    for i in range(0, dim - 63, 64):
        at, out = v + i * size, sums + 4 * i
        if size == 4:
            if heads == 1:
                sums_1(weights, 4 * TILE, rows, even, at, v_step, shrinks, out, 4 * dim)
            elif heads == 2:
                sums_2(weights, 4 * TILE, rows, even, at, v_step, shrinks, out, 4 * dim)
            else:
                sums_3(weights, 4 * TILE, rows, even, at, v_step, shrinks, out, 4 * dim)
        elif heads == 1:
            half_sums_1(weights, 4 * TILE, rows, even, at, v_step, shrinks, out, 4 * dim)
        elif heads == 2:
            half_sums_2(weights, 4 * TILE, rows, even, at, v_step, shrinks, out, 4 * dim)
        else:
            half_sums_3(weights, 4 * TILE, rows, even, at, v_step, shrinks, out, 4 * dim)
    for i in range(dim // 64 * 64, dim, 16):
        for h in range(heads):
            at, out, of_head = v + i * size, sums + 4 * (h * dim + i), weights + 4 * TILE * h
            if size == 4:
                rest(of_head, 0, rows, even, at, v_step, shrinks + 4 * h, out, 0)
            else:
                half_rest(of_head, 0, rows, even, at, v_step, shrinks + 4 * h, out, 0)


@njit(fastmath={"contract"}, forceinline=True)
def combine_plain(heads, sums, dim, weights, shrinks, rows, count, v, v_step, read, size):
    """As `combine`, a key at a time."""
    for h in range(heads):
        out, shrink = sums + 4 * h * dim, number(shrinks + 4 * h)
        for i in range(dim):
            put(out + 4 * i, number(out + 4 * i) * shrink)
        for j in range(count):
            row, weight = v + v_step * word(rows + 8 * j), number(weights + 4 * (h * TILE + j))
            for i in range(dim):
                put(out + 4 * i, number(out + 4 * i) + weight * read(row + i * size))


@njit
def described(call, k, v, size, spans):
    """What to ask for of each key, written to `spans`: two times where it begins at key 0, the distance of keys, bytes."""
    row, vector = word(call + ROW), word(call + DIM) * size
    put_long(spans, k + word(call + ROW_AT))
    put_long(spans + 8, word(call + K_STEP))
    put_long(spans + 16, min(ASKED, row if row else vector))
    put_long(spans + 24, v)
    put_long(spans + 32, word(call + V_STEP))
    put_long(spans + 40, 0 if row else min(ASKED, vector))
    return spans


@njit(forceinline=True)
def attend(job, unit, read, size, product, softmax, weighted):
    """One part of the keys, for the query heads that read them."""
    call = word(job + OPERANDS)
    heads, together, dim = word(call + HEADS), word(call + TOGETHER), word(call + DIM)
    length, parts, width = word(call + LENGTH), word(call + PARTS), word(call + WIDTH)
    visited = max(1, word(call + VISITED))
    served = visited * together
    groups = heads // served
    part, group, batch = unit % parts, unit // parts % groups, unit // parts // groups
    first = group * served
    kv = first // word(call + SHARE)
    k = word(call + K) + batch * word(call + K_BATCH) + kv * word(call + K_HEAD)
    v = word(call + V) + batch * word(call + V_BATCH) + kv * word(call + V_HEAD)
    k_step, v_step = word(call + K_STEP), word(call + V_STEP)
    keys_list = word(call + LISTS)
    if keys_list:
        keys_list += batch * word(call + LIST_BATCH) + group * word(call + LIST_STEP)
    all_logits = word(call + LOGITS)
    chunk = -(-length // (parts * TILE)) * TILE
    begin, end = part * chunk, min(length, part * chunk + chunk)

    q, sums, states = room(4 * served * dim), room(4 * served * dim), room(8 * served)
    rows, next_, shrinks = room(8 * TILE), room(8 * TILE), room(4 * MOST)
    logits, weights = room(4 * TILE * MOST), room(4 * TILE * MOST)
    scale = number(call + SCALE)
    for h in range(served):
        query = word(call + Q) + batch * word(call + Q_BATCH) + (first + h) * word(call + Q_HEAD)
        for i in range(dim):
            put(q + 4 * (h * dim + i), number(query + 4 * i) * scale)
            put(sums + 4 * (h * dim + i), scale * 0)
        put(states + 8 * h, np.float32(NOTHING))
        put(states + 8 * h + 4, np.float32(0))

    spans = described(call, k, v, size, room(48))
    blocks = visited * -(-together // MOST)
    each = -(-ROWS // blocks)
    count = found(call, keys_list, begin, end, rows)
    ask(rows, 0, count, spans)
    for at in range(begin, end, TILE):
        following = found(call, keys_list, at + TILE, end, next_)
        asking, asked, h = each if following else 0, 0, 0
        while h < served:
            left = together - h % together
            some = MOST if left == MOST or left > MOST + 1 else min(left, 2)  # two and two rather than three and one
            of_k, of_v = h // together * word(call + K_HEAD), h // together * word(call + V_HEAD)
            product(some, q + 4 * h * dim, dim, rows, count, k + of_k, k_step, logits, read, size, next_, asked, asking, spans)
            asked += TILE // ROWS * each
            for i in range(some):
                of_head = logits + 4 * TILE * i
                for j in range(count, TILE):
                    put(of_head + 4 * j, np.float32(NOTHING))
                if all_logits:
                    there = all_logits + 4 * (width * (batch * heads + first + h + i) + at)
                    for j in range(TILE):
                        put(there + 4 * j, number(of_head + 4 * j))
                if count:
                    state = states + 8 * (h + i)
                    now, shrink, sum_ = softmax(of_head, weights + 4 * TILE * i, number(state))
                    put(state, now)
                    put(state + 4, number(state + 4) * shrink + sum_)
                    put(shrinks + 4 * i, shrink)
            if count:
                weighted(some, sums + 4 * h * dim, dim, weights, shrinks, rows, count, v + of_v, v_step, read, size)
            h += some
        count = following
        rows, next_ = next_, rows

    for h in range(served):
        peak_, sum_ = number(states + 8 * h), number(states + 8 * h + 4)
        head = batch * heads + first + h
        if parts == 1:
            factor = np.float32(0) if sum_ == 0 else np.float32(1) / sum_
            out = word(call + OUT) + 4 * dim * head
            for i in range(dim):
                put(out + 4 * i, number(sums + 4 * (h * dim + i)) * factor)
        else:
            out = word(call + PARTIAL) + 4 * (dim + 2) * (head * parts + part)
            put(out, peak_)
            put(out + 4, sum_)
            for i in range(dim):
                put(out + 8 + 4 * i, number(sums + 4 * (h * dim + i)))


@njit
def join_parts(call, units):
    """The parts of every head in one softmax. `units`: heads of all sequences."""
    dim, parts = word(call + DIM), word(call + PARTS)
    for head in range(units):
        partial = word(call + PARTIAL) + 4 * (dim + 2) * head * parts
        out = word(call + OUT) + 4 * dim * head
        highest, sum_ = np.float32(NOTHING), np.float32(0)
        for part in range(parts):
            highest = max(highest, number(partial + 4 * (dim + 2) * part))
        for i in range(dim):
            put(out + 4 * i, np.float32(0))
        for part in range(parts):
            one = partial + 4 * (dim + 2) * part
            weight = np.exp2(number(one) - highest)
            sum_ += weight * number(one + 4)
            for i in range(dim):
                put(out + 4 * i, number(out + 4 * i) + weight * number(one + 8 + 4 * i))
        factor = np.float32(0) if sum_ == 0 else np.float32(1) / sum_
        for i in range(dim):
            put(out + 4 * i, number(out + 4 * i) * factor)


@njit(forceinline=True)
def vector(job, unit, read, size):
    attend(job, unit, read, size, multiply, soften, combine)


@njit(forceinline=True)
def plain(job, unit, read, size):
    attend(job, unit, read, size, multiply_plain, soften_plain, combine_plain)


def avx512() -> Any:
    @cfunc(KERNEL, cache=True)
    def decode(job):
        if word(word(job + OPERANDS) + HALF):
            share(job, vector, load_half, 2)
        else:
            share(job, vector, load, 4)

    return decode


def portable() -> Any:
    @cfunc(KERNEL, cache=True)
    def decode(job):
        if word(word(job + OPERANDS) + HALF):
            share(job, plain, number_half, 2)
        else:
            share(job, plain, number, 4)

    return decode


def join() -> Any:
    """For both paths, called once by the thread that asked: (job) with the heads of all sequences behind the call's address."""

    @cfunc(KERNEL, cache=True)
    def join_(job):
        join_parts(word(job), word(job + 8))

    return join_
