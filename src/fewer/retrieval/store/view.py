"""What one search sees: the segments and the fresh documents at one moment, whatever happens meanwhile."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from fewer.errors import RetrievalError, VectorError
from fewer.retrieval.store.documents import Documents, StoredDocument, hashed
from fewer.retrieval.store.fresh import Fresh
from fewer.retrieval.store.segment import Part
from fewer.retrieval.vectors import SparseVectors

_ROWS_AT_ONCE = 1 << 16
"""Of dense vectors in one product."""


class Match(NamedTuple):
    """A document that a search found."""

    id: str
    score: float
    """Inner product with the stored vector."""


@dataclass(frozen=True, eq=False)
class View:
    """Never changed: a store replaces the whole of it, and a search reads it once."""

    parts: tuple[Part, ...]
    fresh: Fresh

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts) + len(self.fresh)

    def search(self, queries: SparseVectors, k: int, how: Any) -> list[list[Match]]:
        """The k best of all parts together, best first; equal scores in the order of their ids."""
        self._check(k)
        if len(empty := np.flatnonzero(np.diff(queries.starts) == 0)):
            raise VectorError(f"query {empty[0]} is empty: it has no known term.")
        parts = [part for part in self.parts if len(part)]
        hits = [part.search(queries, k, how) for part in parts]
        found = []
        for number in range(len(queries)):
            columns = [
                (hit.scores[number], hit.documents[number], part.segment.documents)
                for hit, part in zip(hits, parts, strict=True)
            ]
            if len(self.fresh):
                scores = self.fresh.score(*queries.row(number))
                rows = np.flatnonzero(scores > 0)
                columns.append((scores[rows], rows, self.fresh.batch.documents))
            found.append(_best(columns, k))
        return found

    def search_dense(self, queries: Float32[np.ndarray, "queries width"], k: int) -> list[list[Match]]:
        """The k largest inner products with the dense vectors, all of them computed."""
        self._check(k)
        given: list[tuple[Documents, np.ndarray | None]] = [(part.segment.documents, part.alive) for part in self.parts]
        given.append((self.fresh.batch.documents, self.fresh.alive))
        columns: list[list[tuple[np.ndarray, np.ndarray, Documents]]] = [[] for _ in queries]
        for documents, alive in given:
            for low in range(0, len(documents), _ROWS_AT_ONCE):
                block = documents.dense[low : low + _ROWS_AT_ONCE]
                scores = queries @ block.T
                rows = np.arange(low, low + len(block))
                if alive is not None:
                    living = alive[low : low + len(block)]
                    scores, rows = scores[:, living], rows[living]
                for column, row in zip(columns, scores, strict=True):
                    best = np.argpartition(-row, k - 1)[:k] if len(row) > k else np.arange(len(row))
                    column.append((row[best], rows[best], documents))
        return [_best(column, k) for column in columns]

    def document(self, name: str) -> StoredDocument | None:
        """The document of that id, or None."""
        if (place := self.place(name)) is None:
            return None
        part, row = place
        if part is None:
            return self.fresh.batch.documents.document(row, self.fresh.batch.vectors.__getitem__)
        return part.segment.documents.document(row, part.segment.index.vectors_of)

    def place(self, name: str) -> tuple[Part | None, int] | None:
        """The part that holds the id (None: the fresh documents) and its row there; None where no part does."""
        if name in self.fresh.rows:
            return None, self.fresh.rows[name]
        hashes = hashed([name])
        for part in self.parts:
            if (row := int(part.find(hashes, [name])[0])) >= 0:
                return part, row
        return None

    def _check(self, k: int) -> None:
        if not len(self):
            raise RetrievalError("the store holds no document yet; add some before searching.")
        if not 1 <= k <= len(self):
            raise RetrievalError(f"k must be from 1 to the number of documents, {len(self)}; given: {k}.")


def _best(columns: list[tuple[np.ndarray, np.ndarray, Documents]], k: int) -> list[Match]:
    """The k best of (scores, rows, documents); rows of -1 are none. Only for those that can be among them is the id read."""
    scores = np.concatenate([column[0] for column in columns]) if columns else np.zeros(0, np.float32)
    rows = np.concatenate([column[1] for column in columns]) if columns else np.zeros(0, np.int64)
    of = np.repeat(np.arange(len(columns)), [len(column[0]) for column in columns])
    real = rows >= 0
    if real.sum() > k:
        real &= scores >= np.partition(scores[real], -k)[-k]
    chosen = np.flatnonzero(real)
    named = [(-float(scores[at]), columns[of[at]][2].ids[rows[at]]) for at in chosen]
    return [Match(name, -score) for score, name in sorted(named)[:k]]
