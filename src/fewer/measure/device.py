"""What cold data must exceed on a device, and how fast its memory is read."""

import time
from functools import cache
from typing import TYPE_CHECKING

from fewer.errors import MeasureError
from fewer.measure.cache import last_cache_bytes

if TYPE_CHECKING:
    import torch

_CALLS = 10  # in one measurement, so that starting and waiting do not count


def cache_bytes(device: "torch.device") -> int:
    """Bytes of the cache that lies next to memory: a GPU's second level, else `last_cache_bytes`."""
    import torch

    return torch.cuda.get_device_properties(device).L2_cache_size if device.type == "cuda" else last_cache_bytes()


@cache
def device_bandwidth(device: "torch.device") -> float:
    """Bytes a second that a GPU's memory gives to a reader: the better of a sum over 1 GiB and a copy of it (2 GiB moved).

    Measured once a process and device.

    Raises:
        MeasureError: the device is no GPU; `read_bandwidth` is for the CPU.
    """
    import torch

    if device.type != "cuda":
        raise MeasureError(f"{device} is no CUDA device; read_bandwidth() measures the CPU.")
    data = torch.ones(2**28, device=device)
    other = torch.empty_like(data)
    calls = {lambda: data.sum(): data.nbytes, lambda: other.copy_(data): 2 * data.nbytes}

    def seconds(call) -> float:
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        for _ in range(_CALLS):
            call()
        torch.cuda.synchronize(device)
        return (time.perf_counter() - began) / _CALLS

    return max(moved / min(seconds(call) for _ in range(3)) for call, moved in calls.items())
