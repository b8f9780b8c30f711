"""Latency of several candidates in one process: interleaved, on cold data, with the spread beside the median."""

import copy
import gc
import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from fewer.errors import MeasureError
from fewer.measure.cache import last_cache_bytes
from fewer.measure.statistics import Interval, bootstrap_interval

T = TypeVar("T")


class Timing(NamedTuple):
    """What one candidate took."""

    median: float
    """Median over the rounds, seconds."""
    low: float
    """Lower quartile, seconds."""
    high: float
    """Upper quartile, seconds."""
    samples: tuple[float, ...]
    """Seconds of each round, in order: sample i of every candidate was taken in round i."""
    threads: int
    """Threads that an operator could use (`threads()`)."""


def threads() -> int:
    """Threads that one operator may use: torch's setting once torch is loaded, else the usable cores."""
    if torch := sys.modules.get("torch"):
        return int(torch.get_num_threads())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    repeats: int = 20,
    warmup: int = 3,
    budget_seconds: float | None = None,
    seed: int = 0,
) -> dict[str, Timing]:
    """Times each candidate once a round, in an order drawn anew for each round.

    A slow spell of the machine so falls on all candidates alike, and no one always runs after the same neighbour. Once a
    process uses CUDA, the device is synchronised before the clock starts and before it stops (some microseconds for
    every candidate). The garbage collector rests meanwhile, and freeing a result is not timed. The clock itself costs
    about 0.1 us: below about 10 us let a candidate loop.

    Args:
        candidates: name -> a call without arguments; use `Rotation` inside it for cold data.
        repeats: rounds that are timed.
        warmup: rounds before them that are not (compilation, caches, clocks of the processor).
        budget_seconds: no new round is begun after this time, warm-up included; one round is always timed.

    Raises:
        MeasureError: no candidates, or fewer than one repeat.
    """
    if not candidates or repeats < 1 or warmup < 0:
        raise MeasureError(f"{len(candidates)} candidates, {repeats} repeats, {warmup} warm-ups: give at least 1, 1, 0.")
    rng = random.Random(seed)
    order = list(candidates)
    samples: dict[str, list[float]] = {name: [] for name in order}
    began = time.perf_counter()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for done in range(-warmup, repeats):
            if budget_seconds is not None and time.perf_counter() - began > budget_seconds:
                if done > 0:
                    break
                if done < 0:
                    continue
            rng.shuffle(order)
            for name in order:
                seconds = _timed(candidates[name])
                if done >= 0:
                    samples[name].append(seconds)
    finally:
        if collecting:
            gc.enable()
    return {name: _timing(samples[name]) for name in candidates}


def ratio(peer: Timing, ours: Timing, level: float = 0.95) -> Interval:
    """Peer's time over ours, round by round: above 1 we are faster.

    The estimate is the median of the rounds' ratios; its interval a bootstrap of that median over rounds.

    Raises:
        MeasureError: the two were not timed in the same call of `interleaved`.
    """
    if len(peer.samples) != len(ours.samples):
        raise MeasureError(f"{len(peer.samples)} rounds against {len(ours.samples)}: time both in one call of interleaved().")
    return bootstrap_interval(np.divide(peer.samples, ours.samples).tolist(), np.median, level=level)


class Rotation(Generic[T]):
    """An endless iterator over copies of some operands, so that each is cold when its turn comes again.

    `weights = Rotation(packed, touched_bytes=packed.nbytes)`, then time `lambda: product(next(weights), x)`. Between two
    uses of one copy more than `margin` times the last-level cache has been read.

    Args:
        operands: whatever the callable takes; the first copy is the original itself.
        touched_bytes: bytes that ONE call really reads of them. A kernel that skips half of its weights touches half:
            counting what is held would leave it warm.
        margin: bytes touched between uses, in last-level caches.
        cache_bytes: size of that cache; by default what the operating system says.
        copy: makes an independent copy.

    Raises:
        MeasureError: nothing is touched, or the copies do not fit into half of the free memory.
    """

    def __init__(
        self,
        operands: T,
        touched_bytes: int,
        margin: float = 1.5,
        cache_bytes: int | None = None,
        copy: Callable[[T], T] = copy.deepcopy,
    ) -> None:
        import psutil

        if touched_bytes < 1:
            raise MeasureError(f"touched_bytes is {touched_bytes}; give the bytes that one call reads of the operands.")
        cache = last_cache_bytes() if cache_bytes is None else cache_bytes
        # The others' touches lie between two uses of one copy, its own do not.
        count = 1 + math.ceil(margin * cache / touched_bytes)
        free = psutil.virtual_memory().available
        if count * touched_bytes > free / 2:
            raise MeasureError(
                f"{count} copies that touch {touched_bytes} bytes each exceed half of the free memory ({free} bytes); "
                "lower margin=, or give the share of the cache that is yours as cache_bytes=."
            )
        self.copies: list[T] = [operands, *(copy(operands) for _ in range(count - 1))]
        self._turn = -1

    def __len__(self) -> int:
        return len(self.copies)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        self._turn = (self._turn + 1) % len(self.copies)
        return self.copies[self._turn]


def _timed(call: Callable[[], object]) -> float:
    _synchronise()
    began = time.perf_counter_ns()
    result = call()
    _synchronise()
    seconds = (time.perf_counter_ns() - began) / 1e9
    del result  # kept until the clock has stopped
    return seconds


def _synchronise() -> None:
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _timing(samples: list[float]) -> Timing:
    low, median, high = np.quantile(samples, [0.25, 0.5, 0.75]).tolist()
    return Timing(median, low, high, tuple(samples), threads())
