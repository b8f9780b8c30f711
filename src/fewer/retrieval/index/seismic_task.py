"""The task of comparing Seismic: how many documents must be scored in full for an accuracy."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from fewer.compare.task import Direction, Measurement, Task
from fewer.core.budget import Budget, Density
from fewer.core.method import Method
from fewer.data.retrieval import load
from fewer.errors import MethodError
from fewer.retrieval.concentration import concentration
from fewer.retrieval.expansion import Expansion
from fewer.retrieval.index.exact import ExactIndex
from fewer.retrieval.index.seismic import SeismicIndex
from fewer.retrieval.index.seismic_arms import Exhaustive, RandomOrder, SeismicSearch
from fewer.retrieval.index.seismic_options import SeismicHow
from fewer.retrieval.index.tuning import found_share
from fewer.retrieval.lexical.bm25 import BM25
from fewer.retrieval.lexical.tokens import Tokens
from fewer.retrieval.vectors import SparseVectors

K = 10
SPLADE = "docstrings"
"""Not from texts: vectors that SPLADE made of docstrings, as `retrieval.collections` has them."""


class Vectors(NamedTuple):
    """A collection as vectors."""

    documents: SparseVectors
    queries: SparseVectors
    """None empty."""


class Swept(NamedTuple):
    """One setting of a search."""

    cut: int
    factor: float
    accuracy: float
    scored: float
    """Documents a query."""
    microseconds: float


@dataclass(frozen=True)
class SeismicTask(Task):
    """Accuracy is the overlap with the exact top 10; the cost is documents scored in full for each query.

    An arm is searched at every `cuts` x `factors`. `accuracy` is the mean over those settings; `documents_at_95` is read off
    the line through the best of them, and missing where no setting reaches 95%. A seed draws the queries and the centroids.
    """

    name: str = "seismic"
    collection: str = "walmart-amazon"
    documents: int = 0
    """The first so many; 0 takes all."""
    queries: int = 200
    cuts: tuple[int, ...] = (3, 5, 10, 15)
    factors: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """Wider than the published .7 to 1 and cuts to 10, where fixed summaries end below 95%."""
    accuracies: tuple[int, ...] = (90, 95, 97)
    max_fraction: float = 6.0
    """As in `SeismicOptions`: 1.5 would leave a fifth of these short, uneven lists."""

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"accuracy": "higher", "largest_rise": "lower"}

    @property
    def data(self) -> str:
        if self.collection == SPLADE:
            return "docstrings of installed packages, encoded with SPLADE-tiny"
        found = load(self.collection)
        stems = f"{language} stems" if (language := Tokens().stemmer) else "words that are not stemmed"
        return (
            f"{self.collection} ({self.documents or len(found.documents):,} documents, {found.source}), {stems}; learned-like "
            "vectors: BM25 expanded by companions (PMI)"
        )

    def configuration(self) -> dict[str, Any]:
        """With the stemmer, which depends on what is installed."""
        return {**super().configuration(), "stemmer": Tokens().stemmer}

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for an arm that is no search, or a budget that is no density."""
        if not isinstance(method, Exhaustive | SeismicSearch) or not isinstance(budget, Density):
            raise MethodError(f"{self.name} compares searches; {method.slug} under {budget} is none.")
        documents, asked = prepared(self.collection, self.documents, getattr(method, "vectors", "learned"))
        drawn = np.random.default_rng(seed).permutation(len(asked))[: self.queries]
        queries = asked[np.sort(drawn)]
        began = time.perf_counter()
        exact = ExactIndex.build(documents).search(queries, K)
        if isinstance(method, Exhaustive):
            latency = (time.perf_counter() - began) / len(queries)
            union = float(np.mean(np.diff((queries.to_scipy() @ documents.to_scipy().T).tocsr().indptr)))
            at = {f"documents_at_{a}": union for a in self.accuracies}
            return Measurement({"accuracy": 1.0, "largest_rise": 0.0}, {**at, "latency_ms": latency * 1e3})
        index, facts = self._index(method, documents, budget.share)
        swept = [self._search(index, method, queries, exact.documents, cut, f) for cut, f in product(self.cuts, self.factors)]
        found = {a: documents_at(swept, a / 100) for a in self.accuracies}
        for side, vectors in (("documents", documents), ("queries", queries)):
            facts |= {f"mass_of_half:{side}": concentration(vectors).at(0.5), f"entries:{side}": concentration(vectors).entries}
        return Measurement(
            quality={"accuracy": float(np.mean([s.accuracy for s in swept])), "largest_rise": largest_rise(swept)},
            cost={
                **{f"documents_at_{a}": cost for a, cost in found.items() if cost is not None},
                "latency_ms": float(np.mean([s.microseconds for s in swept])) / 1e3,
                "bytes": float(index.bytes),
            },
            detail={"facts": facts, "swept": [s._asdict() for s in swept]},
        )

    def _index(self, method: SeismicSearch, documents: SparseVectors, share: float) -> tuple[SeismicIndex, dict[str, float]]:
        options = {
            "n_postings": max(1, round(share * len(documents.values) / documents.dimension)),
            "max_fraction": self.max_fraction,
            **method.options(),
        }
        if method.summary == "fixed":
            by_energy = SeismicIndex.build(documents, **{**options, "summary": "energy"})
            options["summary_length"] = max(1, round(_summary_length(by_energy)))
        index = SeismicIndex.build(documents, **options)
        return index, {"postings_kept": index.kept, "summary_length": _summary_length(index)}

    def _search(
        self, index: SeismicIndex, method: SeismicSearch, queries: SparseVectors, truth: np.ndarray, cut: int, factor: float
    ) -> Swept:
        how = SeismicHow(cut, factor)
        index.search(queries[:1], K, how)
        began = time.perf_counter()
        hits = index.search(queries, K, how)
        seconds = time.perf_counter() - began
        if isinstance(method, RandomOrder):
            # as many documents as Seismic scored, for each query
            for row, scored in enumerate(hits.scored):
                twin = SeismicHow(cut, random_until=max(1, int(scored)), seed=method.seed * len(queries) + row)
                hits.documents[row] = index.search(queries[row : row + 1], K, twin).documents[0]
        accuracy = float(found_share(hits.documents, truth).mean())
        return Swept(cut, factor, accuracy, float(hits.scored.mean()), seconds / len(queries) * 1e6)


def documents_at(swept: list[Swept], accuracy: float) -> float | None:
    """Documents to score for an accuracy, in a straight line between settings that none beats; None where none reaches it."""
    front: list[Swept] = []
    for one in sorted(swept, key=lambda s: (s.scored, -s.accuracy)):
        if not front or one.accuracy > front[-1].accuracy:
            front.append(one)
    if not front or front[-1].accuracy < accuracy:
        return None
    return float(np.interp(accuracy, [s.accuracy for s in front], [s.scored for s in front]))


def largest_rise(swept: list[Swept]) -> float:
    """The most by which accuracy rises from one heap factor to the next larger one."""
    rises = [b.accuracy - a.accuracy for a in swept for b in swept if a.cut == b.cut and b.factor == _next(swept, a.factor)]
    return max(rises, default=0.0)


def _next(swept: list[Swept], factor: float) -> float | None:
    return min((s.factor for s in swept if s.factor > factor), default=None)


def _summary_length(index: SeismicIndex) -> float:
    blocks = index.blocks
    return int(blocks.summary_starts[-1]) / max(len(blocks.block_starts) - 1, 1)


@lru_cache(maxsize=4)
def prepared(name: str, count: int, kind: str) -> Vectors:
    """The judged queries and documents of a collection as "learned"-like or "raw" vectors."""
    if name == SPLADE:
        from fewer.retrieval.collections.docstrings import docstrings

        made_before = docstrings()
        return Vectors(made_before.documents[: count or None], made_before.queries)
    collection = load(name)
    texts = [document.whole for document in collection.documents[: count or None]]
    asked = [query.text for query in collection.judged]
    if kind == "learned":
        tokens = Tokens()
        made = Expansion().vectors([tokens(text) for text in texts], [tokens(text) for text in asked])
        documents, queries = made.documents, made.queries
    else:
        documents, queries = raw(texts, asked)
    return Vectors(documents, queries[np.diff(queries.starts) > 0])


def raw(texts: list[str], asked: list[str]) -> tuple[SparseVectors, SparseVectors]:
    """BM25 (1.2, .75) in two halves: documents hold how often a term stands in them, damped; queries its rarity, once."""
    bm25 = BM25("lucene", 1.2, 0.75).fit(texts)
    impacts, present = bm25.encode_documents(texts), bm25.encode_queries(asked)
    rarity = np.log1p((bm25.documents_ - bm25.found_in_ + 0.5) / (bm25.found_in_ + 0.5)).astype(np.float32)
    return (
        SparseVectors(impacts.starts, impacts.components, impacts.values / rarity[impacts.components], impacts.dimension),
        SparseVectors(present.starts, present.components, rarity[present.components], present.dimension),
    )
