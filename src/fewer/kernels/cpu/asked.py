"""A call's arrays into a job: what every search kernel that reads one address begins with."""

from typing import Any

from numba import njit, types

from fewer.kernels.cpu.short_lanes import put_long


def _array(kind: Any, dimensions: int, readonly: bool) -> Any:
    return types.Array(kind, dimensions, "C", readonly=readonly)


CALL = types.void(
    types.int64,
    _array(types.int64, 1, True),
    _array(types.int32, 1, True),
    _array(types.float32, 1, True),
    _array(types.int64, 2, False),
    _array(types.float32, 2, False),
    _array(types.int64, 1, False),
)
"""Job, then starts, components and values of the queries, then documents, scores and counts of the answers."""


# Taking addresses in Python costs a microsecond an array; compiled, half of one for all six.
@njit(CALL, cache=True, nogil=True)
def ask(job, starts, components, values, documents, scores, scored):
    """Name queries (CSR) and where their answers go (queries, k) in the first seven entries of the job at an address."""
    put_long(job, len(starts) - 1)
    put_long(job + 8, starts.ctypes.data)
    put_long(job + 16, components.ctypes.data)
    put_long(job + 24, values.ctypes.data)
    put_long(job + 32, documents.ctypes.data)
    put_long(job + 40, scores.ctypes.data)
    put_long(job + 48, scored.ctypes.data)
