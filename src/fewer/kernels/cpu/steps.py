"""Many kernels in one call, one after the other: what a token costs beside its kernels is then the waiting between them.

Every thread goes through all steps. A step is a kernel of `team` with its job, whose pieces the threads share; where the next
step needs all of its results, a thread that is done waits for the others, spinning: the waits are shorter than a sleep.
"""

import ctypes
import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba import cfunc, extending, types
from numba.core import cgutils

from fewer.kernels.cpu.lanes import word
from fewer.kernels.cpu.team import KERNEL, Work, parallel, threads_inside

intrinsic: Any = extending.intrinsic
_X86 = platform.machine().lower() in ("x86_64", "amd64")
_LONG = ir.IntType(64)

ROW = 64
"""Bytes of a step: a line of the cache, so that threads that wait for one do not slow those that finish another."""
KERNEL_AT, JOB, WAITS, ARRIVED = range(0, 32, 8)
"""Of a step: where the kernel and its job are, whether all threads wait for each other behind it, how many have come so far."""
FIRST, END, TABLE, THREADS = range(0, 32, 8)
"""Of a call: the steps to take, where the first of all is, and what to ask for the number of threads (0: there is one)."""
_JOB_WORDS = 24


@intrinsic
def _call(_context, function, argument):
    """function(argument), both 64-bit integers."""

    def generate(context, builder, _s, arguments):
        kind = ir.FunctionType(ir.VoidType(), [_LONG])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [arguments[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def _answer(_context, function):
    """What a C function without arguments returns, an int."""

    def generate(_c, builder, _s, arguments):
        kind = ir.FunctionType(ir.IntType(32), [])
        found = builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [])
        return builder.sext(found, _LONG)

    return types.int64(types.int64), generate


@intrinsic
def _arrive(_context, address):
    """Add 1 to the integer at `address`; what was written before is seen by who reads the sum."""

    def generate(_c, builder, _s, arguments):
        pointer = builder.inttoptr(arguments[0], _LONG.as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(_LONG, 1), "acq_rel")

    return types.int64(types.int64), generate


@intrinsic
def _arrived(_context, address):
    """The integer at `address`, which other threads change."""

    def generate(_c, builder, _s, arguments):
        return builder.load_atomic(builder.inttoptr(arguments[0], _LONG.as_pointer()), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def _pause(_context):
    """Tell the processor that this is a loop that waits."""

    def generate(context, builder, _s, _arguments):
        if _X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


def taking() -> Any:
    """The kernel: it goes through steps."""

    @cfunc(KERNEL, cache=True)
    def take(call):
        threads = _answer(word(call + THREADS)) if word(call + THREADS) else 1
        for number in range(word(call + FIRST), word(call + END)):
            step = word(call + TABLE) + ROW * number
            _call(word(step + KERNEL_AT), word(step + JOB))
            if threads > 1 and word(step + WAITS):
                _arrive(step + ARRIVED)
                while _arrived(step + ARRIVED) < threads:
                    _pause()

    return take


class Steps:
    """Kernels with their jobs, to be run in order as often as wanted, for a fixed number of threads.

    Not for several Python threads at once: the jobs are its own.
    """

    def __init__(self, threads: int):
        self.threads = threads
        self.jobs: Any = np.zeros((0, _JOB_WORDS), np.int64)
        """A row for each step, as `team` describes jobs; whoever changes one does so between runs."""
        self._added: list[tuple[Any, bytes, bool]] = []
        self._kernel = taking()

    def __len__(self) -> int:
        return len(self._added)

    def add(self, work: Work, x: int = 0, y: int = 0, waits: bool = True) -> int:
        """A step for one vector that lies at address `x`, its result going to `y`; returns its number.

        Args:
            waits: the next step needs what this one writes, or writes what it reads.
        """
        self._added.append((work.kernel, work.job(1, self.threads, x, y), waits))
        return len(self._added) - 1

    def close(self) -> None:
        """All steps are there."""
        self.jobs = np.array([np.frombuffer(job, np.int64) for _, job, _ in self._added])
        self._table = np.zeros((len(self._added), ROW // 8), np.int64)
        self._table[:, KERNEL_AT // 8] = [kernel.address for kernel, _, _ in self._added]
        self._table[:, JOB // 8] = self.jobs.ctypes.data + self.jobs.strides[0] * np.arange(len(self._added))
        self._table[:, WAITS // 8] = [waits for _, _, waits in self._added]

    def run(self, first: int, end: int) -> None:
        """Take the steps from `first` up to `end`."""
        self.jobs[first:end, 0] = 0
        self._table[first:end, ARRIVED // 8] = 0
        together = parallel() if self.threads > 1 else None
        asked = threads_inside() if together is not None else 0
        call = (ctypes.c_int64 * 4)(first, end, self._table.ctypes.data, asked)
        if together is None:
            self._kernel.ctypes(ctypes.addressof(call))
        else:
            together(self._kernel.address, call, self.threads, 0)
