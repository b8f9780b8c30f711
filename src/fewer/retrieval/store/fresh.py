"""Documents that are in the log and in memory, and in no segment yet: few, and searched one and all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float32

from fewer.retrieval.store.batch import Batch
from fewer.retrieval.store.documents import Documents
from fewer.retrieval.store.strings import Strings
from fewer.retrieval.vectors import SparseVectors


@dataclass(frozen=True, eq=False)
class Fresh:
    """Never changed: adding and deleting make another one, so that a search in another thread keeps what it began with."""

    batch: Batch
    alive: Bool[np.ndarray, " documents"]
    rows: dict[str, int]
    """Of the living."""

    @classmethod
    def empty(cls, dimension: int, dense_width: int) -> Self:
        nothing = Strings.of([])
        vectors = SparseVectors(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), dimension)
        documents = Documents(nothing, nothing, nothing, np.zeros((0, dense_width), np.float32))
        return cls(Batch(documents, vectors), np.zeros(0, np.bool_), {})

    def __len__(self) -> int:
        """How many are alive."""
        return len(self.rows)

    def with_batch(self, batch: Batch) -> "Fresh":
        """With those documents too; each replaces the one that had its id."""
        ids = [batch.documents.ids[row] for row in range(len(batch))]
        before = self.without(ids)
        joined = Batch(
            Documents.concatenate([self.batch.documents, batch.documents]),
            SparseVectors.concatenate([self.batch.vectors, batch.vectors]),
        )
        count = len(self.batch)
        rows = {**before.rows, **{name: count + row for row, name in enumerate(ids)}}
        return Fresh(joined, np.concatenate([before.alive, np.ones(len(batch), np.bool_)]), rows)

    def without(self, ids: Sequence[str]) -> "Fresh":
        """Without those of the ids that are there."""
        dead = [self.rows[name] for name in ids if name in self.rows]
        if not dead:
            return self
        alive = self.alive.copy()
        alive[dead] = False
        gone = set(ids)
        return replace(self, alive=alive, rows={name: row for name, row in self.rows.items() if name not in gone})

    def living(self) -> Batch:
        """The living documents alone, in the order in which they came."""
        rows = np.flatnonzero(self.alive)
        return Batch(self.batch.documents.take(rows), self.batch.vectors[rows])

    @cached_property
    def _matrix(self) -> Any:
        return self.batch.vectors.to_scipy()

    def score(self, components: np.ndarray, values: np.ndarray) -> Float32[np.ndarray, " documents"]:
        """The inner product of a query with every document; 0 for the dead."""
        query = np.zeros(self.batch.vectors.dimension, np.float32)
        query[components] = values
        return np.where(self.alive, self._matrix @ query, np.float32(0))
