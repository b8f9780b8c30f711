"""Building an index on one thread, and what it holds, beside pyseismic-lsr; and how both grow with the collection."""

from collections.abc import Iterator

from fewer_benchmarks.peers import seismic
from fewer_benchmarks.peers.side_by_side import built_alone, exact_answers, measured_peer, say

from fewer.measure.benchmark import Benchmark, Point
from fewer.retrieval.collections.collection import SearchCollection
from fewer.retrieval.collections.docstrings import docstrings
from fewer.retrieval.collections.synthetic import synthetic
from fewer.retrieval.index.tuning import measure

SIZES = (50_000, 100_000, 200_000, 500_000, 2_000_000)
GOAL = 0.95


def build(kind: str = "impact") -> Iterator[Point]:
    """Seconds and bytes a document, over the collections that `sparse-search-95` has; the peer's build is the cheapest of its
    grid that reaches a recall of .95 on the tuning queries.

    A build is not repeated: the peer's takes minutes, and is kept in the cache with its time.
    """
    for collection in (docstrings(), synthetic(100_000), synthetic(500_000)):
        yield from _compared("index-build", collection, kind)


def grow(kind: str = "impact") -> Iterator[Point]:
    """The same from 50,000 to 2,000,000 synthetic documents, and the mean time of a query at a recall of .95."""
    for size in SIZES:
        yield from _compared("index-growth", synthetic(size), kind, searched=True)


def _compared(name: str, collection: SearchCollection, kind: str, searched: bool = False) -> Iterator[Point]:
    documents, tuning = collection.documents, collection.tuning
    truth = exact_answers(collection)[: len(tuning)]
    enough = [s for b in seismic.grid(documents) for s in measured_peer(collection, truth, b) if s.recall >= GOAL]
    peers = {build: seismic.built(documents, build) for build in {setting.build for setting in enough}}
    if not peers:
        say(f"{collection.name}: {seismic.NAME} reaches {GOAL} with none of its builds")
        return
    cheapest = min(peers, key=lambda build: peers[build].seconds)
    peer, (index, seconds) = peers[cheapest], built_alone(kind, documents)
    facts = {"documents": len(documents), "peer_build": str(cheapest)}
    each = index.bytes / len(documents), peer.bytes / len(documents)
    yield _point(name, f"{collection.name}: seconds", seconds, peer.seconds, facts)
    yield _point(name, f"{collection.name}: bytes a document", *each, facts)
    if searched:
        single = [tuning[row : row + 1] for row in range(len(tuning))]
        ours = [measure(index, how, single, truth) for how in index.ladder()]
        reached = [m for m in ours if m.recall >= GOAL]
        if reached:
            best, theirs = min(reached, key=lambda m: m.mean), min(enough, key=lambda s: s.mean)
            facts = {**facts, "setting_ours": str(best.how), "setting_peer": f"{theirs.build} {theirs.how}"}
            yield _point(name, f"{collection.name}: seconds a query at {GOAL}", best.mean, theirs.mean, facts)


def _point(name: str, at: str, ours: float, peer: float, facts: dict[str, float | str]) -> Point:
    ratio = peer / ours
    return Point(name, at, ours, peer, seismic.NAME, ratio, ratio, ratio, facts=facts)  # one run, so no interval


BENCHMARKS = [
    Benchmark("index-build", "Build seconds on one thread and bytes a document beside pyseismic-lsr", build),
    Benchmark("index-growth", "Build seconds, bytes and query times from 50,000 to 2,000,000 documents", grow),
]
