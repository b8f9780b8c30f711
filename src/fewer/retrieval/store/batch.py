"""Documents on their way into a store: checked once, at the door, so that nothing behind it can fail on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from fewer.errors import RetrievalError, VectorError
from fewer.retrieval.store.documents import Documents
from fewer.retrieval.store.strings import Strings
from fewer.retrieval.vectors import SparseVectors

LONGEST_ID = 512
LONGEST_TITLE = 1 << 16
LONGEST_TEXT = 1 << 24
LARGEST_CALL = 1 << 30
_LARGEST_VALUE = 65504.0
"""Of a half float: a value that some kind of index cannot store must not come as far as the log."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Documents and their vectors, row by row; no id stands twice."""

    documents: Documents
    vectors: SparseVectors

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in self.arrays().values())

    @classmethod
    def checked(
        cls,
        ids: Sequence[str],
        vectors: SparseVectors,
        titles: Sequence[str],
        texts: Sequence[str],
        dense: np.ndarray | None,
        dimension: int,
        dense_width: int,
    ) -> Self:
        """Raises RetrievalError or VectorError: what was given does not fit together, the store, or its bounds."""
        if vectors.dimension != dimension:
            raise VectorError(f"the store's vectors have dimension {dimension}; given: {vectors.dimension}.")
        counts = {"ids": len(ids), "vectors": len(vectors), "titles": len(titles), "texts": len(texts)}
        if len(set(counts.values())) > 1:
            raise RetrievalError(f"every document needs an id, a vector, a title and a text; given: {_listed(counts)}.")
        if len(large := np.flatnonzero(vectors.values > _LARGEST_VALUE)):
            row = int(np.searchsorted(vectors.starts, large[0], side="right")) - 1
            raise VectorError(
                f"values must be at most {_LARGEST_VALUE:g}; document {ids[row]!r} has {vectors.values[large[0]]:g}."
            )
        documents = Documents(
            check_ids(ids),
            _strings("title", titles, ids, LONGEST_TITLE),
            _strings("text", texts, ids, LONGEST_TEXT),
            _dense(dense, len(ids), dense_width),
        )
        made = cls(documents, vectors)
        if made.bytes > LARGEST_CALL:
            raise RetrievalError(
                f"one call takes at most {LARGEST_CALL} bytes; given: {made.bytes}. Add them in several calls."
            )
        return made

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        vectors = {"starts": self.vectors.starts, "components": self.vectors.components, "values": self.vectors.values}
        return {**self.documents.arrays(), **vectors}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], dimension: int) -> Self:
        """From what `arrays` gave."""
        vectors = SparseVectors(arrays["starts"], arrays["components"], arrays["values"], dimension)
        return cls(Documents.from_arrays(arrays), vectors)


def check_ids(ids: Sequence[str]) -> Strings:
    """Ids, encoded. Raises RetrievalError for one that is empty, too long, no text, or there twice."""
    if isinstance(ids, str):
        raise RetrievalError(f"ids are a list of strings; given: the string {ids!r}.")
    seen: set[str] = set()
    for name in ids:
        if not isinstance(name, str) or not name:
            raise RetrievalError(f"an id must be a string that is not empty; given: {name!r}.")
        if name in seen:
            raise RetrievalError(f"id {name!r} stands twice in one call. Give each document once.")
        seen.add(name)
    return _strings("id", ids, ids, LONGEST_ID)


def _strings(what: str, given: Sequence[str], ids: Sequence[str], longest: int) -> Strings:
    for name, string in zip(ids, given, strict=True):
        if not isinstance(string, str):
            raise RetrievalError(f"the {what} of document {name!r} must be a string; given: {type(string).__name__}.")
        try:
            size = len(string) if string.isascii() else len(string.encode())
        except UnicodeEncodeError as error:
            raise RetrievalError(
                f"the {what} of document {name!r} is no valid text: {error.reason} at {error.start}."
            ) from None
        if size > longest:
            raise RetrievalError(f"the {what} of document {name[:80]!r} has {size} bytes; at most {longest} are allowed.")
    return Strings.of(given)


def _dense(given: np.ndarray | None, count: int, width: int) -> np.ndarray:
    found: Any = np.zeros((count, 0), np.float32) if given is None else np.asarray(given, np.float32)
    if found.shape != (count, width):
        raise VectorError(f"dense vectors must have shape ({count}, {width}) in this store; given: {found.shape}.")
    if len(bad := np.flatnonzero(~np.isfinite(found).all(1))):
        raise VectorError(f"dense vectors must be finite; row {bad[0]} is not.")
    return np.ascontiguousarray(found)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())
