"""SeismicIndex beside pyseismic-lsr, the reference implementation, each at its best for a recall; see `sparse_search`."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial

from fewer_benchmarks.peers import seismic
from fewer_benchmarks.peers.side_by_side import ground, point, say

from fewer.measure.benchmark import Benchmark, Point
from fewer.retrieval.collections.collection import SearchCollection
from fewer.retrieval.collections.docstrings import docstrings
from fewer.retrieval.collections.synthetic import synthetic
from fewer.retrieval.index.seismic import SeismicIndex

RECALLS = (0.90, 0.95, 0.99)
COLLECTIONS: dict[str, Callable[[], SearchCollection]] = {
    "docstrings": docstrings,
    "synthetic 100k": partial(synthetic, 100_000),
}


def run() -> Iterator[Point]:
    """One point a collection and recall: mean seconds a query, quality = recall@10 on the half of the queries not chosen on."""
    for name, make in COLLECTIONS.items():
        found = ground(make, ("seismic",))
        # ours chooses among the same builds as the peer; the first are the defaults of both
        others = [asdict(build) for build in seismic.grid(found.collection.documents)[1:]]
        say(f"{name}: {len(others)} more builds of ours")
        built = (SeismicIndex.build(found.collection.documents, **options) for options in others)
        found = replace(found, indexes=(*found.indexes, *built))
        for recall in RECALLS:
            yield point("seismic", f"{name}, recall {recall:g}", found, recall)


BENCHMARKS = [
    Benchmark("seismic", "SeismicIndex at recall@10 of .90, .95 and .99 beside pyseismic-lsr on the same vectors", run),
]
