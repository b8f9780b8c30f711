"""Ranked documents of many queries: what searches return, fusion joins and measures judge."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from fewer.errors import RetrievalError


class Ranking(NamedTuple):
    """The documents of each query, best first; of equal scores the lower number.

    Where a list ends before its depth stand -1 and score 0: no other document scores anything.
    """

    documents: Int64[np.ndarray, "queries depth"]
    scores: Float64[np.ndarray, "queries depth"]

    @classmethod
    def of(cls, documents: Int64[np.ndarray, "queries any"], scores: Float[np.ndarray, "queries any"], depth: int) -> Self:
        """Put in order and cut: documents in any order, each once a query, -1 where there is none.

        Raises:
            RetrievalError: the shapes differ, a score is not finite, or depth is below 1.
        """
        if documents.shape != scores.shape or documents.ndim != 2 or depth < 1:
            raise RetrievalError(
                f"a ranking needs documents and scores of one shape [queries, any] and a depth of at least 1; given: "
                f"{documents.shape}, {scores.shape} and {depth}."
            )
        there = documents >= 0
        if not np.isfinite(scores[there]).all():
            query = np.flatnonzero((there & ~np.isfinite(scores)).any(axis=1))[0]
            raise RetrievalError(f"a score of query {query} is not finite: nothing can be ranked by it.")
        key = np.where(there, -scores, np.inf)
        if (documents[:, 1:] >= documents[:, :-1]).all():  # as where all documents are scored: half the time
            order = np.argsort(key, axis=1, kind="stable")[:, :depth]
        else:
            order = np.lexsort((documents, key), axis=1)[:, :depth]
        documents = np.take_along_axis(documents, order, axis=1).astype(np.int64)
        chosen = np.take_along_axis(scores, order, axis=1).astype(np.float64)
        return cls(documents, np.where(documents >= 0, chosen, 0.0))

    @classmethod
    def of_all(cls, scores: Float[np.ndarray, "queries documents"], depth: int | None = None) -> Self:
        """Every document ranked by a row of scores, to `depth`, or all of them."""
        numbers = np.broadcast_to(np.arange(scores.shape[1], dtype=np.int64), scores.shape)
        return cls.of(numbers, scores, scores.shape[1] if depth is None else depth)

    @property
    def there(self) -> Bool[np.ndarray, "queries depth"]:
        """Where there is a document."""
        return self.documents >= 0

    def top(self, depth: int) -> "Ranking":
        """Its first `depth` columns."""
        return Ranking(self.documents[:, :depth], self.scores[:, :depth])

    def run(self, queries: Sequence[str], documents: Sequence[str]) -> dict[str, dict[str, float]]:
        """By name, as evaluation and TREC files want it: query id -> document id -> score, best first.

        Raises:
            RetrievalError: not one id for each query.
        """
        if len(queries) != len(self.documents):
            raise RetrievalError(f"{len(self.documents)} queries were ranked; given: {len(queries)} ids.")
        return {
            query: {documents[d]: float(s) for d, s in zip(numbers, scores, strict=True) if d >= 0}
            for query, numbers, scores in zip(queries, self.documents.tolist(), self.scores.tolist(), strict=True)
        }
