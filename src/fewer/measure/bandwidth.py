"""What this machine can do at best: bytes read a second, multiply-adds a second, and the share that a kernel reached."""

import time
from collections.abc import Callable
from functools import cache

from fewer.errors import MeasureError
from fewer.measure.cache import last_cache_bytes
from fewer.measure.latency import threads


def read_bandwidth() -> float:
    """Bytes a second that memory gives to a reader: the best of three readers (sum, dot, matrix-vector) over data of
    twice the last-level cache (at least 256 MiB), with torch's present thread count.

    Measured once a process and thread count (about a second), so call it when the machine is quiet. numpy's
    matrix-vector reader uses numpy's own threads.
    """
    return _read_bandwidth(threads())


def multiply_add_rate() -> float:
    """Floating-point operations a second (2 a multiply-add) of a 2048 x 2048 x 2048 float32 matrix product.

    Measured once a process and thread count, as `read_bandwidth`.
    """
    return _multiply_add_rate(threads())


def limit_share(seconds: float, bytes_moved: float = 0, flops: float = 0) -> float:
    """Share of the physical limit that was reached: the least time that the machine needs, over the time it took.

    The least time is the larger of bytes_moved / `read_bandwidth()` and flops / `multiply_add_rate()`. A share above 1
    means that the data were not cold.

    Raises:
        MeasureError: seconds is not positive, or neither bytes nor FLOPs are given.
    """
    if not seconds > 0 or not (bytes_moved > 0 or flops > 0):
        raise MeasureError(f"{seconds} s, {bytes_moved} bytes, {flops} FLOPs: give a time and bytes or FLOPs above 0.")
    least = [bytes_moved / read_bandwidth()] if bytes_moved > 0 else []
    least += [flops / multiply_add_rate()] if flops > 0 else []
    return max(least) / seconds


@cache
def _read_bandwidth(_threads: int) -> float:
    import torch

    width = 4096
    rows = max(2 * last_cache_bytes(), 256 * 2**20) // (4 * width) // 2 * 2
    data = torch.ones(rows, width)
    vector = torch.ones(width)
    first, second = data.flatten().chunk(2)
    array, narrow = data.numpy(), vector.numpy()
    readers: list[Callable[[], object]] = [data.sum, lambda: torch.dot(first, second), lambda: array @ narrow]
    return data.nbytes / min(_best(reader, 5) for reader in readers)


@cache
def _multiply_add_rate(_threads: int) -> float:
    import torch

    side = 2048
    a, b = torch.ones(side, side), torch.ones(side, side)
    out = torch.empty(side, side)
    return 2 * side**3 / _best(lambda: torch.mm(a, b, out=out), 5)


def _best(call: Callable[[], object], repeats: int) -> float:
    def once() -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    return min(once() for _ in range(repeats))
