"""What feedback moves: queries among dense or sparse document vectors, behind one interface."""

from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32, Float64, Int64

from fewer.errors import RetrievalError
from fewer.retrieval.feedback.ranking import Ranking
from fewer.retrieval.index.index import Index
from fewer.retrieval.vectors import SparseVectors

_SCORES_AT_ONCE = 16_000_000  # 64 MB of float32


class Searched(Protocol):
    """Documents that can be searched, scored and mixed into queries."""

    def __len__(self) -> int:
        """How many documents."""

    def search(self, queries: Any, depth: int) -> Ranking:
        """The best of each query by inner product."""

    def scores(self, queries: Any, documents: Int64[np.ndarray, "queries any"]) -> Float64[np.ndarray, "queries any"]:
        """Inner products with these documents; 0 where the number is -1."""

    def mixed(self, queries: Any, share: Float64[np.ndarray, " queries"], documents: Any) -> Any:
        """share * query + documents @ document vectors: `documents` is a CSR array [queries, documents] of weights."""


class DenseDocuments:
    """Rows of a matrix, searched exhaustively.

    Raises:
        RetrievalError: not a matrix of finite numbers with at least one row.
    """

    def __init__(self, vectors: Float32[np.ndarray, "documents width"]) -> None:
        if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
            raise RetrievalError(f"dense documents are a matrix of finite numbers; given: shape {vectors.shape}.")
        self.vectors = np.ascontiguousarray(vectors, np.float32)

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, queries: Float32[np.ndarray, "queries width"], depth: int) -> Ranking:
        """Blocks of queries, so that no more than 64 MB of scores stand at once."""
        queries = self._checked(queries)
        depth = min(depth, len(self))
        rows = max(1, _SCORES_AT_ONCE // len(self))
        parts = [self._best(queries[low : low + rows] @ self.vectors.T, depth) for low in range(0, len(queries), rows)]
        if not parts:
            return Ranking(np.empty((0, depth), np.int64), np.empty((0, depth)))
        return Ranking(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @staticmethod
    def _best(scores: np.ndarray, depth: int) -> Ranking:
        if depth == scores.shape[1]:
            return Ranking.of_all(scores)
        best = np.argpartition(-scores, depth - 1, axis=1)[:, :depth].astype(np.int64)
        return Ranking.of(best, np.take_along_axis(scores, best, axis=1), depth)

    def scores(self, queries: Float32[np.ndarray, "queries width"], documents: np.ndarray) -> np.ndarray:
        """See `Searched`."""
        queries, found = self._checked(queries), np.zeros(documents.shape)
        for number, row in enumerate(documents):
            there = row >= 0
            found[number, there] = self.vectors[row[there]] @ queries[number]
        return found

    def mixed(self, queries: Float32[np.ndarray, "queries width"], share: np.ndarray, documents: Any) -> np.ndarray:
        """See `Searched`. The length of a mixed vector is what comes out: it is not normalised again."""
        return (share[:, None] * self._checked(queries) + documents @ self.vectors).astype(np.float32)

    def _checked(self, queries: np.ndarray) -> np.ndarray:
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.vectors.shape[1] or not np.isfinite(queries).all():
            raise RetrievalError(
                f"queries are finite numbers [queries, {self.vectors.shape[1]}], as wide as the documents; given: "
                f"{queries.shape}{'' if np.isfinite(queries).all() else ' with values that are not finite'}."
            )
        return queries


class SparseDocuments:
    """An index, searched as it searches, and its stored vectors.

    Args:
        how: how the index is searched; as it prefers when not given.
    """

    def __init__(self, index: Index, how: Any = None, threads: int = 1) -> None:
        self.index, self.how, self.threads = index, how, threads
        self.vectors = index.vectors().to_scipy()

    def __len__(self) -> int:
        return len(self.index)

    def search(self, queries: SparseVectors, depth: int) -> Ranking:
        """Queries without a known term find nothing."""
        depth = min(depth, len(self))
        asked = np.flatnonzero(np.diff(queries.starts))
        documents, scores = np.full((len(queries), depth), -1, np.int64), np.zeros((len(queries), depth))
        if len(asked):
            hits = self.index.search(queries[asked], depth, self.how, self.threads)
            documents[asked], scores[asked] = hits.documents, hits.scores
        return Ranking.of(documents, scores, depth)

    def scores(self, queries: SparseVectors, documents: np.ndarray) -> np.ndarray:
        """See `Searched`."""
        asked, found = queries.to_scipy(), np.zeros(documents.shape)
        for number, row in enumerate(documents):
            there = row >= 0
            found[number, there] = (self.vectors[row[there]] @ asked[[number]].T).toarray().ravel()
        return found

    def mixed(self, queries: SparseVectors, share: np.ndarray, documents: Any) -> SparseVectors:
        """See `Searched`. A moved query has all terms of its feedback documents."""
        from scipy.sparse import diags_array

        mixed = (diags_array(share) @ queries.to_scipy() + documents @ self.vectors).tocsr()
        mixed.sum_duplicates()
        return SparseVectors.from_scipy(mixed.astype(np.float32))


def searched(documents: "np.ndarray | Index | Searched") -> Searched:
    """A matrix or an index as what feedback can use; what searches already, as it is; RetrievalError for anything else."""
    if isinstance(documents, np.ndarray):
        return DenseDocuments(documents)
    if isinstance(documents, Index):
        return SparseDocuments(documents)
    if not all(hasattr(documents, name) for name in ("search", "scores", "mixed", "__len__")):
        raise RetrievalError(
            f"documents are a numpy matrix, an Index, or what searches as these; given: {type(documents).__name__}."
        )
    return documents
