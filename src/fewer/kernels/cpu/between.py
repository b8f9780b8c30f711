"""What a decoder layer does to one token between its products: sums and norms, rotated positions, gated neurons.

Each is a kernel of `team` whose job names a block of 64-bit integers: the addresses and sizes below.
"""

from typing import Any

import numpy as np
from numba import cfunc, njit

from fewer.kernels.cpu.attention.decode import join_parts
from fewer.kernels.cpu.attention.tiles import larger, power, times
from fewer.kernels.cpu.lanes import add, divided, fill, fma, load, number, put, store, total, word, zeros
from fewer.kernels.cpu.team import KERNEL, OPERANDS, share

ADDED, BIAS, X, WEIGHT, OUT, COUNT, EPS = range(0, 56, 8)
"""Of `normed`: what is added to X in place and its bias (0: nothing), X, the norm's weights, where the result goes, components,
and the epsilon as the bits of a float32."""
Q, K, V, Q_BIAS, K_BIAS, V_BIAS, COS, SIN, HEADS, KV_HEADS, DIM, K_CACHE, V_CACHE, K_HEAD, K_STEP, V_HEAD, V_STEP, AT = range(
    0, 144, 8
)
"""Of `turned`: the three results of the products with their biases (0: none), cosines and sines of the position, heads, KV
heads and components of a head, where the cached keys and values begin and their distances in bytes from head to head and from
token to token, and where the number of the new token stands."""
GATE, UP, GATE_BIAS, UP_BIAS, MADE, NEURONS = range(0, 48, 8)
"""Of `gated`: gates and what they let through with their biases (0: none), where the results go, and how many there are."""
PIECE = 256
"""Neurons in a piece of work."""
LOG2_E = np.float32(1.4426950408889634)


@njit(fastmath={"contract", "reassoc"})
def normed(job, _unit, _read, _size):
    """x += added; out = x / sqrt(mean(x^2) + eps) * weight (RMSNorm, Zhang and Sennrich 2019, eq. 4)."""
    block = word(job + OPERANDS)
    added, bias, x, count = word(block + ADDED), word(block + BIAS), word(block + X), word(block + COUNT)
    square = number(block + EPS) * 0
    for i in range(0, 4 * count, 4):
        value = number(x + i)
        if added:
            value += number(added + i)
        if bias:
            value += number(bias + i)
        put(x + i, value)
        square += value * value
    factor = np.float32(1) / np.sqrt(square / np.float32(count) + number(block + EPS))
    weight, out = word(block + WEIGHT), word(block + OUT)
    for i in range(0, 4 * count, 4):
        put(out + i, number(x + i) * factor * number(weight + i))


@njit
def normed_by_lanes(job, _unit, _read, _size):
    """As `normed`, sixteen components at a time."""
    block = word(job + OPERANDS)
    added, bias, x, count = word(block + ADDED), word(block + BIAS), word(block + X), word(block + COUNT)
    squares = zeros()
    for i in range(0, 4 * count, 64):
        value = load(x + i)
        if added:
            value = add(value, load(added + i))
        if bias:
            value = add(value, load(bias + i))
        store(x + i, value)
        squares = fma(value, value, squares)
    factor = fill(np.float32(1) / np.sqrt(total(squares) / np.float32(count) + number(block + EPS)))
    weight, out = word(block + WEIGHT), word(block + OUT)
    for i in range(0, 4 * count, 64):
        store(out + i, times(times(load(x + i), factor), load(weight + i)))


@njit(fastmath={"contract"})
def turned(job, unit, _read, _size):
    """One head: queries rotated where they are, keys rotated into the cache, values copied there (RoPE, Su et al. 2021)."""
    block = word(job + OPERANDS)
    heads, kv_heads, dim = word(block + HEADS), word(block + KV_HEADS), word(block + DIM)
    token = word(word(block + AT))
    if unit >= heads + kv_heads:
        head = unit - heads - kv_heads
        x, bias = word(block + V) + 4 * dim * head, word(block + V_BIAS)
        out = word(block + V_CACHE) + head * word(block + V_HEAD) + token * word(block + V_STEP)
        for i in range(0, 4 * dim, 4):
            put(out + i, number(x + i) + number(bias + 4 * dim * head + i) if bias else number(x + i))
        return
    if unit >= heads:
        head = unit - heads
        x, bias = word(block + K) + 4 * dim * head, word(block + K_BIAS)
        out = word(block + K_CACHE) + head * word(block + K_HEAD) + token * word(block + K_STEP)
    else:
        head = unit
        x, bias = word(block + Q) + 4 * dim * head, word(block + Q_BIAS)
        out = x
    cos, sin, half = word(block + COS), word(block + SIN), 2 * dim
    for i in range(0, half, 4):
        a, b = number(x + i), number(x + half + i)
        if bias:
            a += number(bias + 4 * dim * head + i)
            b += number(bias + 4 * dim * head + half + i)
        put(out + i, a * number(cos + i) - b * number(sin + i))
        put(out + half + i, b * number(cos + half + i) + a * number(sin + half + i))


@njit
def gated(job, unit, _read, _size):
    """silu(gate) * up of some neurons (SwiGLU, Shazeer 2020, eq. 5)."""
    block = word(job + OPERANDS)
    gate, up, out = word(block + GATE), word(block + UP), word(block + MADE)
    gate_bias, up_bias = word(block + GATE_BIAS), word(block + UP_BIAS)
    for i in range(4 * PIECE * unit, 4 * min(PIECE * (unit + 1), word(block + NEURONS)), 4):
        g, u = number(gate + i), number(up + i)
        if gate_bias:
            g += number(gate_bias + i)
        if up_bias:
            u += number(up_bias + i)
        put(out + i, g / (np.float32(1) + np.exp2(-g * LOG2_E)) * u)


@njit
def gated_by_lanes(job, unit, _read, _size):
    """As `gated`, sixteen neurons at a time."""
    block = word(job + OPERANDS)
    gate, up, out = word(block + GATE), word(block + UP), word(block + MADE)
    gate_bias, up_bias = word(block + GATE_BIAS), word(block + UP_BIAS)
    one, minus, least = fill(np.float32(1)), fill(np.float32(-1)), fill(np.float32(-126))
    for i in range(4 * PIECE * unit, 4 * min(PIECE * (unit + 1), word(block + NEURONS)), 64):
        g, u = load(gate + i), load(up + i)
        if gate_bias:
            g = add(g, load(gate_bias + i))
        if up_bias:
            u = add(u, load(up_bias + i))
        small = power(times(larger(times(g, fill(LOG2_E)), least), minus))
        store(out + i, times(divided(g, add(one, small)), u))


@njit
def joined(job, _unit, _read, _size):
    """Attention whose keys were shared out, made one softmax; the block is the call's, then the number of heads follows."""
    join_parts(word(job + OPERANDS), word(job + OPERANDS + 8))


def norm(path: str) -> Any:
    """The kernel `normed`: one piece of work."""
    if path == "avx512":

        @cfunc(KERNEL, cache=True)
        def norm_by_lanes(job):
            share(job, normed_by_lanes, load, 4)

        return norm_by_lanes

    @cfunc(KERNEL, cache=True)
    def norm_plain(job):
        share(job, normed, number, 4)

    return norm_plain


def turn(_path: str) -> Any:
    """The kernel `turned`: a piece for each head of queries, of keys and of values."""

    @cfunc(KERNEL, cache=True)
    def turn_(job):
        share(job, turned, number, 4)

    return turn_


def gate(path: str) -> Any:
    """The kernel `gated`: pieces of `PIECE` neurons."""
    if path == "avx512":

        @cfunc(KERNEL, cache=True)
        def gate_by_lanes(job):
            share(job, gated_by_lanes, load, 4)

        return gate_by_lanes

    @cfunc(KERNEL, cache=True)
    def gate_plain(job):
        share(job, gated, number, 4)

    return gate_plain


def join(_path: str) -> Any:
    """The kernel `joined`: one piece of work."""

    @cfunc(KERNEL, cache=True)
    def join_(job):
        share(job, joined, number, 4)

    return join_
