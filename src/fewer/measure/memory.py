"""Memory: the peak of a stretch of code, and what a model holds."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import psutil

if TYPE_CHECKING:
    from torch import Tensor, nn

_SAMPLE_SECONDS = 0.001
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass
class PeakMemory:
    """Filled when the `with` block ends."""

    bytes: int = 0
    """Most resident bytes at any time in the block, less those at its start."""
    source: Literal["kernel", "sampled"] = "sampled"
    """Who saw the peak: the kernel's own mark (no peak is missed) or a thread that looks each millisecond."""


@contextmanager
def peak_memory() -> Iterator[PeakMemory]:
    """Measures the peak of this process's resident memory above its start.

    On Linux the kernel's high-water mark is reset and read (`source == "kernel"`): every peak is seen, to within some
    100 kB, the grain of its counters. Elsewhere, or where that file is closed to us, a thread samples (`"sampled"`) and
    a peak shorter than a millisecond, or one inside code that holds the interpreter lock, can be missed.

    Free memory that the allocator kept from earlier work is given back first where the C library can (glibc); what
    stays is reused without a trace, so measure large things, or a fresh process. GPU memory is not seen. Blocks may be
    nested; threads that run beside the block are counted with it.
    """
    gc.collect()
    _trim()
    start = psutil.Process().memory_info().rss
    gauge = _started()
    result = PeakMemory(source=gauge.source)
    try:
        yield result
    finally:
        result.bytes = max(0, gauge.stop() - start)


def held_bytes(model: nn.Module) -> int:
    """Bytes of the distinct storages behind a model's parameters and buffers, as they lie in memory.

    Tied weights and views of one storage count once; a sparse or packed tensor counts its parts. Tensors on the meta
    device hold nothing.
    """
    parts = [part for tensor in [*model.parameters(), *model.buffers()] for part in _parts(tensor)]
    return sum({(part.device, part.untyped_storage().data_ptr()): part.untyped_storage().nbytes() for part in parts}.values())


def _parts(tensor: Tensor) -> list[Tensor]:
    import torch

    if hasattr(tensor, "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        return [part for name in names for part in _parts(getattr(tensor, name))]
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return [] if tensor.is_meta else [tensor]


def _started() -> _KernelGauge | _SamplingGauge:
    try:
        return _KernelGauge()
    except OSError:
        return _SamplingGauge()


class _KernelGauge:
    """Reads VmHWM. A nested gauge resets the mark, so those around it first note what it shows."""

    source: Literal["kernel", "sampled"] = "kernel"
    open: ClassVar[list[_KernelGauge]] = []
    lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self.peak = 0
        with self.lock:
            seen = _mark()
            _CLEAR.write_text("5")
            for gauge in self.open:
                gauge.peak = max(gauge.peak, seen)
            self.open.append(self)

    def stop(self) -> int:
        with self.lock:
            self.open.remove(self)
            return max(self.peak, _mark())


class _SamplingGauge:
    source: Literal["kernel", "sampled"] = "sampled"

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.peak = self.process.memory_info().rss
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.done.wait(_SAMPLE_SECONDS):
            self.peak = max(self.peak, self.process.memory_info().rss)

    def stop(self) -> int:
        self.done.set()
        self.thread.join()
        return max(self.peak, self.process.memory_info().rss)


def _mark() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("this kernel keeps no high-water mark")


def _trim() -> None:
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):
            library.malloc_trim(0)
