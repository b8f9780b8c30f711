"""The three ways to compile an attention kernel: AMX, AVX-512, and what every processor has."""

from collections.abc import Callable
from typing import Any

from numba import cfunc

from fewer.kernels.cpu.attention import matrix, matrix_softmax, softmax
from fewer.kernels.cpu.team import KERNEL

_SHAPE = matrix.SHAPE.tobytes()


def compiled(path: str, work: Callable) -> Any:
    """A C function that runs work(job, begin, pack, absorb, finish, state_bytes, chunk_bytes, scratch_bytes) on a path."""
    if path == "amx":
        shape = matrix.SHAPE.ctypes.data
        begin, pack, absorb, finish = matrix_softmax.begin, matrix_softmax.pack, matrix_softmax.absorb, matrix_softmax.finish
        sizes = matrix_softmax.state_bytes, matrix_softmax.chunk_bytes, matrix_softmax.scratch_bytes
        state_bytes, chunk_bytes, scratch_bytes = sizes

        @cfunc(KERNEL)
        def attention(job):
            matrix.configure(shape)
            work(job, begin, pack, absorb, finish, state_bytes, chunk_bytes, scratch_bytes)
            matrix.release()

        return attention
    begin, pack, finish = softmax.begin, softmax.pack, softmax.finish
    absorb = softmax.absorb if path == "avx512" else softmax.plain_absorb
    state_bytes, chunk_bytes, scratch_bytes = softmax.state_bytes, softmax.chunk_bytes, softmax.scratch_bytes

    @cfunc(KERNEL)
    def attention(job):
        work(job, begin, pack, absorb, finish, state_bytes, chunk_bytes, scratch_bytes)

    return attention
