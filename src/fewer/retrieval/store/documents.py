"""What a store keeps of its documents beside the index: ids, titles, texts and dense vectors, column by column."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Self

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt64

from fewer.retrieval.store.strings import Strings
from fewer.retrieval.vectors import SparseVectors


@dataclass(frozen=True, eq=False)
class StoredDocument:
    """One document, as a store gives it back. Its vector is read when it is asked for: an index may have to search for it."""

    id: str
    title: str
    text: str
    _read: Callable[[], SparseVectors] = field(repr=False)

    @property
    def components(self) -> Int32[np.ndarray, " entries"]:
        """Of its sparse vector, ascending."""
        return self._vector[0]

    @property
    def values(self) -> Float32[np.ndarray, " entries"]:
        """At the precision that the index stores."""
        return self._vector[1]

    @cached_property
    def _vector(self) -> tuple[np.ndarray, np.ndarray]:
        return self._read().row(0)


@dataclass(frozen=True, eq=False)
class Documents:
    """Columns of the same length; row i of each is one document."""

    ids: Strings
    titles: Strings
    texts: Strings
    dense: Float32[np.ndarray, "documents width"]
    """Width 0 where a store has no dense vectors."""

    def __len__(self) -> int:
        return len(self.ids)

    def document(self, row: int, vectors_of: Callable[[np.ndarray], SparseVectors]) -> StoredDocument:
        """One of them; `vectors_of` gives the sparse vectors of some rows."""
        return StoredDocument(self.ids[row], self.titles[row], self.texts[row], partial(vectors_of, np.array([row])))

    def take(self, rows: Int64[np.ndarray, " chosen"]) -> "Documents":
        """The documents of those ascending rows."""
        return Documents(self.ids.take(rows), self.titles.take(rows), self.texts.take(rows), self.dense[rows])

    @classmethod
    def concatenate(cls, parts: "Sequence[Documents]") -> "Documents":
        return Documents(
            Strings.concatenate([part.ids for part in parts]),
            Strings.concatenate([part.titles for part in parts]),
            Strings.concatenate([part.texts for part in parts]),
            np.concatenate([part.dense for part in parts]),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        texts = {**self.ids.arrays("ids"), **self.titles.arrays("titles"), **self.texts.arrays("texts")}
        return {**texts, "dense": self.dense}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """From what `arrays` gave."""
        ids, titles, texts = (Strings.from_arrays(name, arrays) for name in ("ids", "titles", "texts"))
        return cls(ids, titles, texts, arrays["dense"])


@dataclass(frozen=True, eq=False)
class Places:
    """Where an id stands: hashes in ascending order, searched by halves, so that opening a file reads no id."""

    hashes: UInt64[np.ndarray, " documents"]
    rows: Int64[np.ndarray, " documents"]

    @classmethod
    def of(cls, ids: Strings) -> Self:
        hashes = hashed(ids[row] for row in range(len(ids)))
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], order.astype(np.int64))

    def find(self, hashes: UInt64[np.ndarray, " wanted"], wanted: Sequence[str], ids: Strings) -> Int64[np.ndarray, " wanted"]:
        """The row of each id, -1 where it is not among `ids`."""
        found = np.full(len(wanted), -1, np.int64)
        low, high = (np.searchsorted(self.hashes, hashes, side=side) for side in ("left", "right"))
        for number in np.flatnonzero(low < high).tolist():
            for row in self.rows[low[number] : high[number]]:
                if ids[row] == wanted[number]:
                    found[number] = row
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {"place_hashes": self.hashes, "place_rows": self.rows}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """From what `arrays` gave."""
        return cls(arrays["place_hashes"], arrays["place_rows"])


def hashed(ids: Iterable[str]) -> UInt64[np.ndarray, " ids"]:
    """64 bits of each id, the same on every machine."""
    return np.frombuffer(b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in ids), "<u8")
