"""A benchmark: ours beside its peer, in one process, interleaved."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fewer.errors import MeasureError
from fewer.measure.latency import interleaved, ratio


@dataclass(frozen=True)
class Point:
    """One setting of a benchmark."""

    name: str
    at: str
    """What varies between the points: shape, density, length."""
    ours: float
    """Median seconds (or bytes, where the benchmark says so)."""
    peer: float
    peer_name: str
    ratio: float
    """Peer / ours: above 1 we are faster (smaller)."""
    ratio_low: float
    """95% interval of the ratio, over rounds."""
    ratio_high: float
    quality_ours: float | None = None
    """How right the result is, where speed could be bought with quality."""
    quality_peer: float | None = None
    limit_share: float | None = None
    """Share of the physical limit (memory bandwidth or arithmetic) that ours reaches."""
    limit: str = ""
    """Which limit that is."""
    facts: Mapping[str, float | str] = field(default_factory=dict)
    """What else was measured or chosen, by name."""

    def to_dict(self) -> dict[str, Any]:
        """As `fewer bench --json` prints it."""
        return asdict(self)


Run = Callable[[], Iterator[Point]]


@dataclass(frozen=True)
class Benchmark:
    """A named benchmark; `run` yields its points."""

    name: str
    about: str
    run: Run


def pair(
    name: str,
    at: str,
    ours: Callable[[], object],
    peer: Callable[[], object],
    peer_name: str,
    repeats: int = 15,
    warmup: int = 2,
    **more: Any,
) -> Point:
    """Time `ours` against `peer`, interleaved; the ratio with its interval over paired rounds."""
    if repeats < 2:
        raise MeasureError(f"a paired benchmark needs at least 2 rounds, not {repeats}.")
    timed = interleaved({"ours": ours, "peer": peer}, repeats=repeats, warmup=warmup)
    found = ratio(timed["peer"], timed["ours"])
    return Point(name, at, timed["ours"].median, timed["peer"].median, peer_name, found.mean, found.low, found.high, **more)
