"""Products with two of every four weights: a code word says where 16 values belong among 32 inputs."""

from numba import cfunc, njit

from fewer.kernels.cpu.lanes import (
    add,
    code,
    fma,
    load,
    load_half,
    number,
    number_half,
    permute,
    places,
    prefetch,
    put,
    total,
    word,
    zeros,
)
from fewer.kernels.cpu.team import BATCH, HALF, KERNEL, OPERANDS, X_STEP, Y_STEP, X, Y, share

CHUNKS, VALUES, CODES = range(OPERANDS, OPERANDS + 24, 8)
"""Chunks of 32 inputs in a row; where the values and the code words begin."""
AHEAD = 4096  # bytes: the processor's own prefetching stays too near to keep a core's share of the memory busy


@njit
def vector(job, row, read, size):
    """Permutes the inputs by the code, two chunks at a time."""
    chunks = word(job + CHUNKS)
    values = word(job + VALUES) + row * chunks * 16 * size
    codes = word(job + CODES) + row * chunks * 4
    for sample in range(word(job + BATCH)):
        x = word(job + X) + sample * word(job + X_STEP)
        a, b = zeros(), zeros()
        v = values
        for c in range(0, chunks - 1, 2):
            prefetch(v + AHEAD)
            if size == 4:
                prefetch(v + AHEAD + 64)
            at = x + 128 * c
            a = fma(read(v), permute(load(at), places(code(codes + 4 * c)), load(at + 64)), a)
            b = fma(read(v + 16 * size), permute(load(at + 128), places(code(codes + 4 * c + 4)), load(at + 192)), b)
            v += 32 * size
        if chunks % 2:
            at = x + 128 * (chunks - 1)
            a = fma(read(v), permute(load(at), places(code(codes + 4 * (chunks - 1))), load(at + 64)), a)
        put(word(job + Y) + sample * word(job + Y_STEP) + 4 * row, total(add(a, b)))


@njit(fastmath={"contract", "reassoc"})
def plain(job, row, read, size):
    """One value after the other."""
    chunks = word(job + CHUNKS)
    values = word(job + VALUES) + row * chunks * 16 * size
    codes = word(job + CODES) + row * chunks * 4
    for sample in range(word(job + BATCH)):
        x = word(job + X) + sample * word(job + X_STEP)
        sum_ = number(x) * 0
        for c in range(chunks):
            bits = code(codes + 4 * c)
            for k in range(16):
                at = 32 * c + 4 * (k // 2) + ((bits >> (2 * k)) & 3)
                sum_ += read(values + (16 * c + k) * size) * number(x + 4 * at)
        put(word(job + Y) + sample * word(job + Y_STEP) + 4 * row, sum_)


def avx512():
    @cfunc(KERNEL, cache=True)
    def two_four(job):
        if word(job + HALF):
            share(job, vector, load_half, 2)
        else:
            share(job, vector, load, 4)

    return two_four


def portable():
    @cfunc(KERNEL, cache=True)
    def two_four(job):
        if word(job + HALF):
            share(job, plain, number_half, 2)
        else:
            share(job, plain, number, 4)

    return two_four
