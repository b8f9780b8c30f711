"""BM25 beside bm25s's numba backend: the same terms, the same scores, all queries in one call, one thread."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

import fewer.data
from fewer.errors import MissingExtraError
from fewer.measure.bandwidth import limit_share
from fewer.measure.benchmark import Benchmark, Point, pair
from fewer.retrieval.collections.collection import SearchCollection, kept
from fewer.retrieval.collections.installed_texts import LARGEST, QUERIES, installation, installed_texts
from fewer.retrieval.index.exact import ExactHow
from fewer.retrieval.lexical.bm25 import BM25
from fewer.retrieval.lexical.tokens import Tokens
from fewer.retrieval.lexical.variants import Variant
from fewer.retrieval.vectors import SparseVectors

K = 10
PEER = "bm25s, numba backend"


def run() -> Iterator[Point]:
    """Python's docstrings, then those of all that is installed: every variant on the larger one."""
    yield _point("lucene", _python_docstrings())
    largest = _installed()
    for variant in ("lucene", "robertson", "atire", "bm25l", "bm25+"):
        yield _point(variant, largest)


def _python_docstrings() -> SearchCollection:
    collection = fewer.data.load("python-docstrings")
    texts, queries = [text.whole for text in collection.documents], [query.text for query in collection.judged]
    return _counted(f"{len(texts):,} docstrings of Python", texts, queries)


def _installed() -> SearchCollection:
    """Kept as counts, since reading the sources of everything that is installed takes a minute or more."""

    def make() -> SearchCollection:
        texts = installed_texts()
        return _counted(f"{len(texts.documents):,} installed docstrings", texts.documents, texts.queries)

    return kept(f"counts-{LARGEST}-{QUERIES}-{installation()}", make)


def _counted(name: str, texts: list[str] | tuple[str, ...], queries: list[str] | tuple[str, ...]) -> SearchCollection:
    model = BM25().fit(texts)
    asked = model.encode_queries(queries)
    return SearchCollection(name, model.encode_counts(texts), asked[np.diff(asked.starts) > 0])


def _point(variant: Variant, collection: SearchCollection) -> Point:
    try:
        import bm25s
    except ImportError as error:
        raise MissingExtraError('the benchmark bm25 needs bm25s: pip install "fewer[peers]".') from error
    words, asked = _words(collection.documents), _words(collection.queries)
    model = BM25(variant, tokens=Tokens(r"\w+", frozenset(), "")).index(" ".join(row) for row in words)
    peer = bm25s.BM25(method=variant, k1=model.k1, b=model.b, delta=model.delta, backend="numba")
    peer.index(words, show_progress=False)
    queries = model.encode_queries(" ".join(row) for row in asked)
    numbers = [peer.get_tokens_ids(row) for row in asked]
    assert model.index_ is not None
    index, shift = model.index_, model.shift(queries)

    def ours() -> np.ndarray:
        return index.search(queries, K, ExactHow("bounded")).scores + shift[:, None]

    def theirs() -> np.ndarray:
        return peer.retrieve(numbers, k=K, show_progress=False, n_threads=1).scores

    # where fewer than k documents share a term the peer fills up with the others: they all have the shift
    same = float(np.isclose(ours(), theirs(), rtol=0, atol=1e-4).mean())
    at = f"{variant}, {collection.name}, {len(queries):,} queries of {len(queries.values) / len(queries):.1f} terms"
    point = pair(
        "bm25",
        at,
        ours,
        theirs,
        PEER,
        repeats=9,
        quality_ours=same,
        quality_peer=1.0,
        limit="memory bandwidth, reading every posting",
    )
    postings = int(np.bincount(index.vectors().components, minlength=index.dimension)[queries.components].sum())
    per_query = 1 / len(queries)
    point = replace(point, limit_share=limit_share(point.ours, bytes_moved=8 * postings + 8 * len(index) * len(queries)))
    return replace(point, ours=point.ours * per_query, peer=point.peer * per_query)


def _words(counts: SparseVectors) -> list[list[str]]:
    """A word for each time that a term stands in a row."""
    repeated = np.repeat(counts.components, counts.values.astype(np.int64)).astype(str)
    ends = np.concatenate([[0], np.cumsum(counts.values.astype(np.int64))])[counts.starts]
    return [[f"t{term}" for term in repeated[low:high].tolist()] for low, high in pairwise(ends)]


BENCHMARKS = [Benchmark("bm25", "BM25 scores and query time against bm25s's numba backend, one thread; seconds a query", run)]
