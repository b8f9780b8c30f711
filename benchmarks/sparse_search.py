"""Search over sparse vectors beside pyseismic-lsr, both at their best for a recall, one query at a time on one thread."""

from collections.abc import Iterator
from functools import partial

from fewer_benchmarks.peers.side_by_side import ground, point

from fewer.measure.benchmark import Benchmark, Point
from fewer.retrieval.collections.docstrings import docstrings
from fewer.retrieval.collections.synthetic import synthetic

COLLECTIONS = {
    "docstrings": docstrings,
    "synthetic 100k": partial(synthetic, 100_000),
    "synthetic 500k": partial(synthetic, 500_000),
}
TWO_MILLIONS = partial(synthetic, 2_000_000)
RECALLS = (0.90, 0.95, 0.99)


def run(recall: float) -> Iterator[Point]:
    """One point a collection: mean seconds a query, quality = recall@10 on the half of the queries not chosen on."""
    for name, make in COLLECTIONS.items():
        found = ground(make)
        yield point(
            f"sparse-search-{recall * 100:.0f}", f"{name} ({len(found.collection.documents):,} documents)", found, recall
        )


def run_2m() -> Iterator[Point]:
    """One point a recall over 2,000,000 documents."""
    for recall in RECALLS:
        yield point("sparse-search-2m", f"synthetic 2M, recall {recall:g}", ground(TWO_MILLIONS), recall)


BENCHMARKS = [
    *(
        Benchmark(
            f"sparse-search-{recall * 100:.0f}",
            f"Search at recall@10 of {recall:g} over 100,000 to 500,000 sparse vectors beside pyseismic-lsr",
            partial(run, recall),
        )
        for recall in RECALLS
    ),
    Benchmark("sparse-search-2m", "Search at recall@10 of .90, .95 and .99 over 2,000,000 sparse vectors", run_2m),
]
