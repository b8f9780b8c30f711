"""RM3 (Abdul-Jaleel et al. 2004; the relevance model: Lavrenko & Croft 2001): feedback among words, beside vector feedback."""

from dataclasses import dataclass

import numpy as np

from fewer.errors import RetrievalError
from fewer.retrieval.feedback.ranking import Ranking
from fewer.retrieval.vectors import SparseVectors


@dataclass(frozen=True)
class RM3:
    """P'(w | q) = original * P(w | q) + (1 - original) * P(w | relevance model).

    The relevance model is the mean of the feedback documents' word distributions, weighted by their scores; of each document,
    and of the model, the `terms` most probable words stay. Defaults are Anserini's. Its moved queries are weights for the same
    index, whose term weights (BM25's) they multiply.
    """

    documents: int = 10
    terms: int = 10
    original: float = 0.5

    def __post_init__(self) -> None:
        if self.documents < 1 or self.terms < 1 or not 0 <= self.original <= 1:
            raise RetrievalError(f"RM3 needs documents and terms from 1, original from 0 to 1; given: {self}.")

    def moved(self, queries: SparseVectors, found: Ranking, counts: SparseVectors) -> SparseVectors:
        """The queries after feedback; one that found nothing keeps its own distribution.

        Args:
            queries: token counts, one row a query.
            found: the first lists, with scores of at least 0.
            counts: token counts of all documents, over the queries' vocabulary.

        Raises:
            RetrievalError: different vocabularies or numbers of queries, or negative scores.
        """
        if queries.dimension != counts.dimension or len(queries) != len(found.documents):
            raise RetrievalError(
                f"queries, lists and documents must fit: {len(queries)} queries over {queries.dimension} terms, "
                f"{len(found.documents)} lists, documents over {counts.dimension} terms."
            )
        if (found.scores < 0).any():
            raise RetrievalError("RM3 weights documents by their scores, which must be at least 0, as BM25's are.")
        return SparseVectors.from_rows((self._one(i, queries, found, counts) for i in range(len(queries))), queries.dimension)

    def _one(self, query: int, queries: SparseVectors, found: Ranking, counts: SparseVectors) -> dict[int, float]:
        model: dict[int, float] = {}
        for document, score in zip(
            found.documents[query, : self.documents].tolist(), found.scores[query, : self.documents].tolist(), strict=True
        ):
            if document >= 0:
                for term, share in self._likeliest(*counts.row(document)).items():
                    model[term] = model.get(term, 0.0) + score * share
        model = self._likeliest(np.array([*model], np.int64), np.array([*model.values()]))
        terms, times = queries.row(query)
        own = self.original if model else 1.0
        mixed = {term: (1 - own) * share for term, share in model.items()}
        for term, count in zip(terms.tolist(), times.tolist(), strict=True):
            mixed[term] = mixed.get(term, 0.0) + own * count / float(times.sum())
        return mixed

    def _likeliest(self, terms: np.ndarray, weights: np.ndarray) -> dict[int, float]:
        """The heaviest terms (of equal ones the lower), as shares of 1."""
        best = np.lexsort((terms, -weights))[: self.terms]
        whole = float(weights[best].sum())
        return {int(terms[i]): float(weights[i]) / whole for i in best} if whole > 0 else {}
