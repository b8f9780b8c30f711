"""What sparsity costs and saves: quality, latency, bytes, memory and FLOPs, each with its interval.

Names are loaded on first use, so that importing this package loads neither torch nor scipy. `environment.environment`
keeps to its module, whose name it has.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.measure.bandwidth import limit_share, multiply_add_rate, read_bandwidth
    from fewer.measure.bytes import disk_bytes, storage_forms
    from fewer.measure.cache import last_cache_bytes
    from fewer.measure.flops import Flops, LayerFlops, count
    from fewer.measure.latency import Rotation, Timing, interleaved, ratio, threads
    from fewer.measure.memory import PeakMemory, held_bytes, peak_memory
    from fewer.measure.quality import Classification, Perplexity, classification, perplexity, windows
    from fewer.measure.statistics import Interval, bootstrap_interval, paired_difference, pareto_front, t_interval

_HOMES = {
    "bandwidth": ("limit_share", "multiply_add_rate", "read_bandwidth"),
    "bytes": ("disk_bytes", "storage_forms"),
    "cache": ("last_cache_bytes",),
    "flops": ("Flops", "LayerFlops", "count"),
    "latency": ("Rotation", "Timing", "interleaved", "ratio", "threads"),
    "memory": ("PeakMemory", "held_bytes", "peak_memory"),
    "quality": ("Classification", "Perplexity", "classification", "perplexity", "windows"),
    "statistics": ("Interval", "bootstrap_interval", "paired_difference", "pareto_front", "t_interval"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Classification",
    "Flops",
    "Interval",
    "LayerFlops",
    "PeakMemory",
    "Perplexity",
    "Rotation",
    "Timing",
    "bootstrap_interval",
    "classification",
    "count",
    "disk_bytes",
    "held_bytes",
    "interleaved",
    "last_cache_bytes",
    "limit_share",
    "multiply_add_rate",
    "paired_difference",
    "pareto_front",
    "peak_memory",
    "perplexity",
    "ratio",
    "read_bandwidth",
    "storage_forms",
    "t_interval",
    "threads",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
