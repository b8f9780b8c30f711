"""The task behind the claim: four places to interpolate, on whole score lists of judged collections."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from fewer.compare.task import Direction, Measurement, Task
from fewer.core import Budget, Density, Method, Rows, select
from fewer.errors import MethodError
from fewer.retrieval.feedback.arms import Fusion, InterpolatedFeedback, PermutedSparse, Search
from fewer.retrieval.feedback.fusion import Interpolation
from fewer.retrieval.feedback.prf_interpolation import interpolated_feedback
from fewer.retrieval.feedback.ranking import Ranking
from fewer.retrieval.feedback.sides import Dense, Sides, Sparse, about, prepare
from fewer.retrieval.feedback.vectors import DenseDocuments
from fewer.retrieval.lexical.tokens import Tokens

MEASURES = ("map", "ndcg@10", "recall@100")
WEIGHTS = tuple(i / 10 for i in range(1, 10))
"""What a weight is chosen from: 0 and 1 would be no interpolation."""
POOL = 100
"""Feedback documents are selected among so many first ones."""

Judged = dict[str, np.ndarray]
"""Measure -> value of each query."""


@dataclass(frozen=True)
class FeedbackTask(Task):
    """Dense queries learn from documents; every list holds all documents, so that none is cut.

    A seed divides the queries into halves (a weight that is to be chosen is chosen on each half by MAP, for the other) and
    draws what is random. Costs: whole searches a query, and what feedback (with its search)
    and fusion take a query beyond the first lists. Detail: `items`, measure -> the values of the queries.
    """

    name: str = "feedback"
    collections: tuple[str, ...] = ("cranfield", "cisi")
    dense: Dense = "lsa"
    sparse: Sparse = "bm25"
    width: int = 128
    """Of latent semantic analysis."""
    limit: int = 300
    """Queries of a collection."""

    @property
    def quality(self) -> Mapping[str, Direction]:
        every = [*MEASURES, *(f"{m}:{c}" for c in self.collections for m in MEASURES if len(self.collections) > 1)]
        return dict.fromkeys(every, "higher")

    @property
    def data(self) -> str:
        stems = f"{language} stems" if (language := Tokens().stemmer) else "they are"
        given = "; ".join(about(name, self.limit) for name in self.collections)
        dense = f"SVD of log tf-idf to {self.width} dimensions" if self.dense == "lsa" else self.dense
        sparse = "BM25 (1.2, .75)" if self.sparse == "bm25" else self.sparse
        return f"{given}; dense: {dense}, sparse: {sparse}; words as {stems}"

    def configuration(self) -> dict[str, Any]:
        """With the stemmer, which depends on what is installed."""
        return {**super().configuration(), "stemmer": Tokens().stemmer}

    def depends_on_seed(self, method: Method) -> bool:
        chosen = isinstance(method, Fusion | InterpolatedFeedback) and _interpolates(method) and method.weight is None
        return method.seeded or chosen

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for an arm that is no search, or a budget that is no density."""
        if not isinstance(method, Search | Fusion | InterpolatedFeedback) or not isinstance(budget, Density):
            raise MethodError(f"{self.name} compares searches; {method.slug} under {budget} is none.")
        depth = max(1, round(budget.share * POOL))
        items: Judged = {}
        weights: dict[str, list[float]] = {}
        seconds, searches = 0.0, 0
        for name in self.collections:
            sides = self._sides(name)
            judged, took, chosen = self._judged(sides, method, depth, seed)
            items |= {f"{m}:{name}": values for m, values in judged.items()}
            weights |= {f"weight:{name}": chosen} if chosen else {}
            seconds, searches = seconds + took, searches + len(sides.queries)
        whole = {m: np.concatenate([items[f"{m}:{name}"] for name in self.collections]) for m in MEASURES}
        apart = items if len(self.collections) > 1 else {}
        return Measurement(
            quality={m: float(values.mean()) for m, values in {**whole, **apart}.items()},
            cost={**_searches(method), "feedback_ms": 1000 * seconds / searches},
            detail={
                "items": {m: np.round(values, 5).tolist() for m, values in items.items()},
                "facts": {name: float(np.mean(chosen)) for name, chosen in weights.items()},
            },
        )

    def _judged(self, sides: Sides, method: Method, depth: int, seed: int) -> tuple[Judged, float, list[float]]:
        """Every query's values, the seconds that answering took, and the weights that were used on either half."""
        if not _interpolates(method):
            return *_values(sides, method, depth, 0.0, seed), []
        if method.weight is not None:  # type: ignore[attr-defined]
            return *_values(sides, method, depth, method.weight, seed), [method.weight]  # type: ignore[attr-defined]
        halves = np.random.default_rng([seed, 7]).permutation(len(sides.queries)) % 2
        merged = {m: np.empty(len(halves)) for m in MEASURES}
        seconds, chosen = [], []
        for half in (0, 1):
            real = _real(method)
            other = [_values(sides, real, depth, weight, seed)[0]["map"][halves != half].mean() for weight in WEIGHTS]
            chosen.append(WEIGHTS[int(np.argmax(other))])
            judged, took = _values(sides, method, depth, chosen[-1], seed)
            seconds.append(took)
            for m, values in judged.items():
                merged[m][halves == half] = values[halves == half]
        return merged, float(np.mean(seconds)), chosen

    def sweep(self, method: Fusion | InterpolatedFeedback, budget: float) -> dict[str, dict[float, float]]:
        """MAP at every weight from 0 to 1, by collection: what choosing sees."""
        depth, weights = max(1, round(budget * POOL)), [0.0, *WEIGHTS, 1.0]
        sides = [self._sides(name) for name in self.collections]
        return {s.name: {w: float(_values(s, method, depth, w, 0)[0]["map"].mean()) for w in weights} for s in sides}

    def _sides(self, name: str) -> Sides:
        return prepare(name, self.width, self.limit, self.dense, self.sparse)

    def close(self) -> None:
        _remembered.cache_clear()
        _first.cache_clear()
        prepare.cache_clear()


def _interpolates(method: Method) -> bool:
    return isinstance(method, Fusion) or (isinstance(method, InterpolatedFeedback) and method.interpolate != "none")


def _real(method: Method) -> Method:
    """A random arm takes the weight of the arm that it is held against."""
    if method.kind != "random" or not isinstance(method, InterpolatedFeedback):
        return method
    return InterpolatedFeedback(method.feedback, method.interpolate)


def _searches(method: Method) -> dict[str, float]:
    """Searches through the whole collection a query."""
    if isinstance(method, Search):
        return {"dense_searches": float(method.side == "dense"), "sparse_searches": float(method.side == "sparse")}
    again = isinstance(method, InterpolatedFeedback)
    return {"dense_searches": 1.0 + again, "sparse_searches": float(_interpolates(method))}


def _values(sides: Sides, method: Method, depth: int, weight: float, seed: int) -> tuple[Judged, float]:
    """Each query's values, and the seconds that answering all took, the first lists not counted."""
    if method.seeded:
        return _timed(sides, method, depth, weight, seed)
    alike = method if isinstance(method, Search) else replace(method, weight=None)  # type: ignore[call-arg]
    return _remembered(sides, alike.with_seed(0), depth, weight)


@lru_cache(maxsize=1024)
def _remembered(sides: Sides, method: Method, depth: int, weight: float) -> tuple[Judged, float]:
    return _timed(sides, method, depth, weight, 0)


def _timed(sides: Sides, method: Method, depth: int, weight: float, seed: int) -> tuple[Judged, float]:
    _first(sides)
    began = time.perf_counter()
    found = _run(sides, method, depth, weight, seed)
    seconds = time.perf_counter() - began
    return _judge(sides, found), seconds


def _judge(sides: Sides, found: Ranking) -> Judged:
    judgements = sides.judgements
    return {
        "map": judgements.average_precision(found),
        "ndcg@10": judgements.ndcg(found, 10),
        "recall@100": judgements.recall(found, 100),
    }


@lru_cache(maxsize=4)
def _first(sides: Sides) -> tuple[DenseDocuments, Ranking, Ranking]:
    """The dense side, and both lists of the original queries."""
    dense = DenseDocuments(sides.documents)
    return dense, dense.search(sides.queries, len(dense)), Ranking.of_all(sides.sparse)


def _run(sides: Sides, method: Method, depth: int, weight: float, seed: int) -> Ranking:
    """The arm's list at a weight."""
    documents, dense, sparse = _first(sides)
    mix = Interpolation(weight, "min-max")

    def fuse(one: Ranking, other: Ranking, _: Any = None) -> Ranking:
        return mix.fuse(one, other, len(documents))

    if isinstance(method, Search):
        return dense if method.side == "dense" else sparse
    if not isinstance(method, InterpolatedFeedback):
        return fuse(sparse, dense)
    return interpolated_feedback(
        sides.queries,
        dense,
        _permuted(sparse, seed) if isinstance(method, PermutedSparse) else sparse,
        method.interpolate,
        fuse,
        select=_selecting(method, depth),
        move=lambda queries, chosen: method.formula(depth).moved(queries, chosen, documents),
        search=lambda queries: documents.search(queries, len(documents)),
    )


def _selecting(method: InterpolatedFeedback, depth: int) -> Callable[[Ranking], Int64[np.ndarray, "queries depth"]]:
    def chosen(found: Ranking) -> Int64[np.ndarray, "queries depth"]:
        pool = found.top(min(POOL, found.documents.shape[1]))
        scores = method.score(torch.from_numpy(np.ascontiguousarray(pool.scores)))
        mask = select(scores, Rows(), Density(depth / pool.documents.shape[1])).mask.numpy()
        return pool.documents[mask].reshape(len(mask), depth)

    return chosen


def _permuted(sparse: Ranking, seed: int) -> Ranking:
    generator = np.random.default_rng([seed, 11])
    return Ranking.of(generator.permuted(sparse.documents, axis=1), sparse.scores, sparse.documents.shape[1])
