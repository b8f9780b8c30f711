"""Exact search: ImpactIndex with its safe bound beside float32 term-at-a-time, one thread, held-out queries."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fewer.measure.benchmark import Benchmark, Point, pair
from fewer.retrieval.collections.collection import SearchCollection
from fewer.retrieval.collections.docstrings import docstrings
from fewer.retrieval.collections.synthetic import synthetic
from fewer.retrieval.index.exact import ExactHow, ExactIndex
from fewer.retrieval.index.index import Hits
from fewer.retrieval.index.kinds import kind

K = 10
PEER = "float32 term-at-a-time, numba"


def run() -> Iterator[Point]:
    """The real collection, then synthetic ones of up to 500,000 documents."""
    for make in (docstrings, lambda: synthetic(100_000), lambda: synthetic(500_000)):
        yield _point(make())


def _point(collection: SearchCollection) -> Point:
    queries = collection.held_out
    peer = ExactIndex.build(collection.documents)
    # half floats would round the stored values, so that another document could be the best
    mine = kind("impact").build(collection.documents, values="float32")
    exact = mine.How(cut=0.02, exact=True)

    def ours() -> Hits:
        return mine.search(queries, K, exact)

    def theirs() -> Hits:
        return peer.search(queries, K, ExactHow("term"))

    same = float(np.isclose(ours().scores, theirs().scores, rtol=1e-5).mean())
    point = pair(
        "exact", f"{collection.name}, k {K}", ours, theirs, PEER, repeats=7, warmup=1, quality_ours=same, quality_peer=1.0
    )
    return replace(point, ours=point.ours / len(queries), peer=point.peer / len(queries))


BENCHMARKS = [Benchmark("exact", "exact search of sparse vectors against float32 term-at-a-time; seconds a query", run)]
