"""Kernels on the threads that torch already has.

A second pool of threads would fight with torch's own: between two products its idle threads spin for milliseconds, on the cores
that the other pool needs. So a kernel is a plain C function, and the OpenMP runtime that torch has loaded calls it once in
each of its threads. They share the work by a counter: who is held up takes less.
"""

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from numba import njit
from torch import get_num_threads

from fewer.kernels.cpu.lanes import claim, word

KERNEL = "void(i8)"
"""Signature of a kernel: the address of its job, which is 64-bit integers at these offsets."""
UNITS, LEAST, HALVINGS, BATCH, X, X_STEP, Y, Y_STEP, HALF = range(8, 80, 8)
"""Number of units (the first integer is the next one to take); how many a thread takes at least, and how often what is left is
halved to give a piece; vectors in the batch; where they are, and their distance in bytes; the same for the results; are the
values bfloat16?"""
OPERANDS = 80
"""Offset of what else a kernel wants."""

_FEWEST = 64  # the smallest piece is this part of all units
_Job = ctypes.c_int64 * 24
_X, _Y = X // 8, Y // 8
_KNOWN = 64  # batch sizes whose jobs are kept


@njit(forceinline=True)  # numba keeps no kernel on disk whose functions are handed on as values
def share(job, unit, read, size):
    """Take units until none is left: unit(job, number, read, size), with how to read a value and its size in bytes."""
    units, least, halvings = word(job + UNITS), word(job + LEAST), word(job + HALVINGS)
    while True:
        # Ever smaller pieces: the first run long and undisturbed, the last let all threads end together.
        piece = max(least, (units - word(job)) >> halvings)
        first = claim(job, piece)
        if first >= units:
            break
        for number in range(first, min(first + piece, units)):
            unit(job, number, read, size)


class Work:
    """A kernel with its operands, for inputs of `width` and results of `rows` float32 each, both without gaps.

    Calls from several Python threads at once are safe: each has a job of its own.
    """

    def __init__(self, kernel: Any, units: int, width: int, rows: int, half: bool, *operands: int):
        """`kernel`: a numba cfunc; `units`: pieces of work, such as rows; `half`: are the values bfloat16?"""
        self.kernel, self._units, self._steps = kernel, units, (4 * width, 4 * rows)
        self._rest = (int(half), *operands)
        self._jobs: dict[tuple[int, int], bytes] = {}  # by batch and threads: all but where inputs and results are

    def __call__(self, batch: int, x: int, y: int) -> None:
        """Multiply `batch` vectors that lie at address `x`; results go to address `y`."""
        threads = get_num_threads()
        _start(self.kernel, self._described(batch, threads, x, y), threads)

    def job(self, batch: int, threads: int, x: int, y: int) -> bytes:
        """What the kernel is called with."""
        return bytes(self._described(batch, threads, x, y))

    def _described(self, batch: int, threads: int, x: int, y: int) -> Any:
        job = _Job.from_buffer_copy(self._jobs.get((batch, threads)) or self._made(batch, threads))
        job[_X], job[_Y] = x, y
        return job

    def _made(self, batch: int, threads: int) -> bytes:
        x_step, y_step = self._steps
        least = max(1, self._units // _FEWEST)
        made = bytes(_Job(0, self._units, least, threads.bit_length(), batch, 0, x_step, 0, y_step, *self._rest))
        if len(self._jobs) < _KNOWN:
            self._jobs[batch, threads] = made
        return made


def run(kernel: Any, units: int, *operands: int) -> None:
    """Call any kernel once: `units` pieces of work, and what it finds from `OPERANDS` on."""
    threads = get_num_threads()
    job = _Job(0, units, max(1, units // _FEWEST), threads.bit_length(), 0, 0, 0, 0, 0, 0, *operands)
    _start(kernel, job, threads)


def _start(kernel: Any, job: Any, threads: int) -> None:
    if threads > 1 and (together := parallel()) is not None:
        together(kernel.address, job, threads, 0)
    else:
        kernel.ctypes(ctypes.addressof(job))


@cache
def parallel() -> Any:
    """GOMP_parallel(function, argument, threads, flags) of the OpenMP runtime that torch runs on; None where there is none."""
    if (runtime := _runtime()) is None:
        return None
    call = runtime.GOMP_parallel
    call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    call.restype = None
    return call


@cache
def threads_inside() -> int:
    """Address of the function that says, inside a parallel call, how many threads there are: a system may give fewer."""
    return ctypes.cast(_runtime().omp_get_num_threads, ctypes.c_void_p).value or 0


def _runtime() -> Any:
    beside = Path(torch.__file__).parent / "lib"
    for name in [*map(str, sorted(beside.glob("lib*omp*.so*"))), "libgomp.so.1", "libiomp5.so", "libomp.so"]:
        try:
            # NOLOAD: only a runtime that is there already is torch's.
            runtime = ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
            if runtime.GOMP_parallel and runtime.omp_get_num_threads:
                return runtime
        except (OSError, AttributeError):
            continue
    return None
