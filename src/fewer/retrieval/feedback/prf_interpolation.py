"""Feedback between two kinds of search (Li et al. 2022, arXiv 2205.00235): where should the sparse list be mixed in?

Before, to choose the documents that the dense query learns from; after, to finish the ranking; both; or not at all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

from fewer.errors import RetrievalError
from fewer.retrieval.feedback.fusion import Interpolation
from fewer.retrieval.feedback.ranking import Ranking
from fewer.retrieval.feedback.vector import Feedback, Rocchio
from fewer.retrieval.feedback.vectors import searched

Where = Literal["none", "before", "after", "both"]
PLACES: tuple[Where, ...] = ("none", "before", "after", "both")


def interpolated_feedback(
    queries: Any,
    dense: Ranking,
    sparse: Ranking | None,
    interpolate: Where,
    fuse: Callable[[Ranking, Ranking, Any], Ranking],
    select: Callable[[Ranking], Int64[np.ndarray, "queries depth"]],
    move: Callable[[Any, Int64[np.ndarray, "queries depth"]], Any],
    search: Callable[[Any], Ranking],
) -> Ranking:
    """One round, over the whole collection. The sparse query is not moved: both times its first list is mixed in.

    Args:
        dense, sparse: the lists of the original queries.
        fuse: a sparse and a dense list as one; it is told the dense queries too.
        select: from a list the feedback documents: the first k of each query.
        move: the queries after feedback from these documents.
        search: the dense list of moved queries.
    """
    first = fuse(sparse, dense, queries) if sparse is not None and interpolate in ("before", "both") else dense
    moved = move(queries, select(first))
    again = search(moved)
    return fuse(sparse, again, moved) if sparse is not None and interpolate in ("after", "both") else again


@dataclass(frozen=True)
class PRF:
    """Search, learn from the best documents, search again; with a second kind of search mixed in.

        prf = PRF(dense=embeddings, sparse=index, feedback=Rocchio(5, 0.4, 0.6), interpolate="both")
        ranking = prf.search(dense_queries, sparse_queries, k=10)

    The side called `dense` is the one whose queries move. Each side is a matrix, an index, or anything `Searched`: with an
    index as `dense`, learned sparse queries learn.

    Raises:
        RetrievalError: sides with different numbers of documents, or an interpolation without a sparse side.
    """

    dense: Any
    sparse: Any = None
    feedback: Feedback = Rocchio()  # noqa: RUF009 - frozen
    interpolate: Where = "both"
    weight: float = 0.5
    """Of the sparse list, from 0 to 1."""
    normalise: str = "min-max"
    """See `fusion.NORMALISATIONS`."""
    missing: Literal["minimum", "zero", "true"] = "minimum"
    """What a document gets for a list that it is not in; see `Interpolation`."""
    depth: int = 1000
    """Both lists are cut here before they are normalised."""

    def __post_init__(self) -> None:
        Interpolation(self.weight, self.normalise, self.missing)
        object.__setattr__(self, "dense", searched(self.dense))
        if self.interpolate not in PLACES:
            raise RetrievalError(f'interpolate is one of {", ".join(PLACES)}; given: "{self.interpolate}".')
        if self.depth < self.feedback.depth:
            raise RetrievalError(f"lists of {self.depth} do not hold the {self.feedback.depth} feedback documents.")
        if self.sparse is None:
            if self.interpolate != "none":
                raise RetrievalError(f'interpolate="{self.interpolate}" needs a sparse side, or use interpolate="none".')
            return
        object.__setattr__(self, "sparse", searched(self.sparse))
        if len(self.dense) != len(self.sparse):
            raise RetrievalError(
                f"both sides search the same documents; given: {len(self.dense)} dense and {len(self.sparse)} sparse ones."
            )

    def search(self, dense_queries: Any, sparse_queries: Any = None, k: int = 10) -> Ranking:
        """The k best documents after feedback.

        Args:
            dense_queries: as the dense side wants them: a float32 matrix, or SparseVectors for an index.
            sparse_queries: the same queries for the sparse side; not needed with interpolate="none".

        Raises:
            RetrievalError: k out of range, queries missing or of different numbers.
            VectorError: queries of another dimension than an index.
        """
        self._check(k)
        depth = min(max(self.depth, k), len(self.dense))
        return interpolated_feedback(
            dense_queries,
            self.dense.search(dense_queries, depth),
            None if self.interpolate == "none" else self._sparse(dense_queries, sparse_queries, depth),
            self.interpolate,
            self._fuse(sparse_queries, depth),
            select=lambda ranking: ranking.documents[:, : self.feedback.depth],
            move=lambda queries, chosen: self.feedback.moved(queries, chosen, self.dense),
            search=lambda queries: self.dense.search(queries, depth),
        ).top(k)

    def fused(self, dense_queries: Any, sparse_queries: Any, k: int = 10) -> Ranking:
        """The two lists as one without feedback: what feedback must beat. Raises as `search`."""
        self._check(k)
        depth = min(max(self.depth, k), len(self.dense))
        dense, sparse = self.dense.search(dense_queries, depth), self._sparse(dense_queries, sparse_queries, depth)
        return self._fuse(sparse_queries, depth)(sparse, dense, dense_queries).top(k)

    def _sparse(self, dense_queries: Any, sparse_queries: Any, depth: int) -> Ranking:
        if self.sparse is None or sparse_queries is None:
            what = "sparse side" if self.sparse is None else "sparse queries"
            raise RetrievalError(f'there are no {what}: interpolation needs them. Or use interpolate="none".')
        if len(sparse_queries) != len(dense_queries):
            raise RetrievalError(f"both sides get the same queries; given: {len(dense_queries)}, {len(sparse_queries)}.")
        return self.sparse.search(sparse_queries, depth)

    def _fuse(self, sparse_queries: Any, depth: int) -> Callable[[Ranking, Ranking, Any], Ranking]:
        mix = Interpolation(self.weight, self.normalise, self.missing)

        def fuse(sparse: Ranking, dense: Ranking, dense_queries: Any) -> Ranking:
            truth = (
                lambda documents: self.sparse.scores(sparse_queries, documents),
                lambda documents: self.dense.scores(dense_queries, documents),
            )
            return mix.fuse(sparse, dense, depth, truth)

        return fuse

    def _check(self, k: int) -> None:
        if not 1 <= k <= len(self.dense):
            raise RetrievalError(f"k must be from 1 to the number of documents, {len(self.dense)}; given: {k}.")
