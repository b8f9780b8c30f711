"""Vectors that look learned, from plain tokens: BM25 impacts, expanded by the terms that keep company with each term.

Raw BM25 vectors of short texts have few, almost equal weights; those of learned encoders are longer. Where no encoder is at
hand, adding every term's closest companions gives vectors of such lengths: 64 entries a document and 33 a query on product
titles, close to Splade's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fewer.errors import VectorError
from fewer.retrieval.lexical.variants import gain, idf
from fewer.retrieval.vectors import SparseVectors

_ROWS_AT_ONCE = 512  # terms whose companions are counted together: bounds the memory of long texts


class LearnedLike(NamedTuple):
    """Documents and queries over one vocabulary."""

    documents: SparseVectors
    queries: SparseVectors
    """A query none of whose terms stands in any document is an empty row."""
    terms: tuple[str, ...]
    """The vocabulary: component -> term."""


@dataclass(frozen=True)
class Expansion:
    """How texts are expanded."""

    companions: int = 10
    """Companions of each term: those with the highest pointwise mutual information."""
    together: int = 2
    """Fewer documents than these that hold both terms make no companions."""
    document_share: float = 0.5
    """What an added weight of a document is multiplied by; companions are weighted so that a term's closest has 1."""
    query_share: float = 0.4
    document_terms: int = 60
    """So many added weights a document stay, the largest."""
    query_terms: int = 25
    k1: float = 1.2
    b: float = 0.75

    def __post_init__(self) -> None:
        if min(self.companions, self.together, self.document_terms, self.query_terms) < 1:
            raise VectorError(f"an expansion counts companions and terms from 1; given: {self}.")
        if min(self.document_share, self.query_share) < 0 or self.k1 < 0 or not 0 <= self.b <= 1:
            raise VectorError(f"shares and k1 must be at least 0, b from 0 to 1; given: {self}.")

    def vectors(self, documents: Sequence[Sequence[str]], queries: Sequence[Sequence[str]]) -> LearnedLike:
        """log1p of BM25 documents and 0/1 queries, each with the weights that its terms' companions add.

        With w the companions' weights, x' = x + share * top(x w): a companion that stands in the text already gains too.

        Args:
            documents: the tokens of each.
            queries: likewise; tokens that no document has are ignored.

        Raises:
            VectorError: no document has a token.
        """
        terms = tuple(sorted({token for document in documents for token in document}))
        if not terms:
            raise VectorError("no document has a token: there is nothing to expand. Give documents with words in them.")
        place = {term: number for number, term in enumerate(terms)}
        counts = _counts(documents, place)
        present = _counts(queries, place)
        present.data[:] = 1
        companions = self.neighbours(counts)
        return LearnedLike(
            documents=_expanded(_impacts(counts, self.k1, self.b), companions, self.document_share, self.document_terms),
            queries=_expanded(present, companions, self.query_share, self.query_terms),
            terms=terms,
        )

    def neighbours(self, counts: Any) -> Any:
        """Each term's companions: CSR [terms, terms], the closest with weight 1, the others in proportion of their PMI.

        PMI(s, t) = log(documents * both / (with s * with t)), of which only positive values count.

        Args:
            counts: scipy CSR [documents, terms], how often each term stands in each document.
        """
        from scipy.sparse import vstack

        stands = counts.astype(bool).astype(np.float64)
        holders = np.asarray(stands.sum(axis=0)).ravel()
        by_term = stands.T.tocsr()
        blocks = []
        for first in range(0, stands.shape[1], _ROWS_AT_ONCE):
            both = (by_term[first : first + _ROWS_AT_ONCE] @ stands).tocsr()
            rows = first + _rows(both)
            close = np.log(stands.shape[0] * both.data / (holders[rows] * holders[both.indices]))
            both.data = np.where((both.data >= self.together) & (rows != both.indices), np.maximum(close, 0), 0)
            blocks.append(_strongest(both, self.companions))
        nearest = vstack(blocks, format="csr")
        highest = nearest.max(axis=1).toarray().ravel()
        nearest.data /= highest[_rows(nearest)]
        return nearest


def _counts(texts: Sequence[Sequence[str]], place: dict[str, int]) -> Any:
    from scipy.sparse import csr_array

    known = [[place[token] for token in text if token in place] for text in texts]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in known], dtype=np.int64)])
    columns = np.array([token for row in known for token in row], dtype=np.int64)
    counts = csr_array((np.ones(len(columns)), columns, starts), shape=(len(texts), len(place)))
    counts.sum_duplicates()
    return counts


def _impacts(counts: Any, k1: float, b: float) -> Any:
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    holders = np.bincount(counts.indices, minlength=counts.shape[1])
    impacts = counts.copy()
    impacts.data = idf("lucene", holders, counts.shape[0])[counts.indices] * gain(
        "lucene", counts.data, (lengths / lengths.mean())[_rows(counts)], k1, b, 0.0
    )
    return impacts


def _expanded(texts: Any, companions: Any, share: float, kept: int) -> SparseVectors:
    whole = (texts + share * _strongest((texts @ companions).tocsr(), kept)).tocsr()
    whole.sum_duplicates()
    whole.data = np.log1p(whole.data)
    return SparseVectors.from_scipy(whole)


def _strongest(matrix: Any, count: int) -> Any:
    """The `count` largest positive entries of each row; of equal ones, those of lower columns."""
    from scipy.sparse import csr_array

    rows = _rows(matrix)
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    rank = np.arange(len(order)) - matrix.indptr[rows[order]]
    chosen = np.sort(order[(rank < count) & (matrix.data[order] > 0)])
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows[chosen], minlength=matrix.shape[0]))])
    return csr_array((matrix.data[chosen], matrix.indices[chosen], starts), shape=matrix.shape)


def _rows(matrix: Any) -> np.ndarray:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
