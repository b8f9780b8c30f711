"""A segment: a sealed index and the documents in it, two files that never change; and which of its documents are alive."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from fewer.errors import IndexFileError
from fewer.retrieval.index.index import Hits, Index, Searcher
from fewer.retrieval.index.kinds import kind as kind_named
from fewer.retrieval.store.arrays_file import open_arrays, write_arrays
from fewer.retrieval.store.batch import Batch
from fewer.retrieval.store.documents import Documents, Places
from fewer.retrieval.store.index_file import index_of, save_index
from fewer.retrieval.vectors import SparseVectors

_IDLE = 16
"""Searchers kept for the next search; each owns scratch memory."""


class Digests(NamedTuple):
    """Of a segment's two files."""

    index_file: str
    documents_file: str


@dataclass(frozen=True, eq=False)
class Segment:
    """What two files hold."""

    number: int
    index: Index
    documents: Documents
    places: Places
    digests: Digests
    bytes: int
    """Of both files."""

    def __len__(self) -> int:
        return len(self.documents)


def write_segment(folder: Path, number: int, batch: Batch, kind: str, options: dict[str, Any]) -> Segment:
    """Build the index of `batch`, write both files, and open them. Raises IndexFileError when they cannot be written."""
    built = kind_named(kind).build(batch.vectors, **options)
    places = Places.of(batch.documents.ids)
    index = save_index(built, index_path(folder, number))
    documents = write_arrays(documents_path(folder, number), "documents", {}, {**batch.documents.arrays(), **places.arrays()})
    del built
    return open_segment(folder, number, Digests(index, documents), check=False)


def open_segment(folder: Path, number: int, digests: Digests, check: bool) -> Segment:
    """Map both files into memory.

    Raises:
        IndexFileError: one is missing, damaged, or not the one that `digests` names.
    """
    paths = index_path(folder, number), documents_path(folder, number)
    files = [open_arrays(path, check) for path in paths]
    for path, file, digest in zip(paths, files, digests, strict=True):
        if file.digest != digest:
            raise IndexFileError(f"{path} is not the file that this store wrote. Restore the store's folder from a copy.")
    documents, places = Documents.from_arrays(files[1].arrays), Places.from_arrays(files[1].arrays)
    size = sum(path.stat().st_size for path in paths)
    return Segment(number, index_of(files[0], str(paths[0])), documents, places, digests, size)


def index_path(folder: Path, number: int) -> Path:
    return folder / f"{number:010d}.index"


def documents_path(folder: Path, number: int) -> Path:
    return folder / f"{number:010d}.documents"


class Part:
    """A segment with the documents that are alive in it; never changed, as `Fresh`."""

    def __init__(self, segment: Segment, alive: Bool[np.ndarray, " documents"] | None = None):
        self.segment = segment
        self.alive = alive
        """None while all are."""
        self._living = len(segment) if alive is None else int(alive.sum())
        self._idle: dict[tuple[int, Any], list[Searcher]] = {}

    def __len__(self) -> int:
        """How many are alive."""
        return self._living

    def find(self, hashes: np.ndarray, wanted: Sequence[str]) -> Int64[np.ndarray, " wanted"]:
        """The row of each id, -1 where it is not there or not alive."""
        rows = self.segment.places.find(hashes, wanted, self.segment.documents.ids)
        if self.alive is not None:
            rows[~self.alive[rows] & (rows >= 0)] = -1
        return rows

    def without(self, rows: Int64[np.ndarray, " found"]) -> "Part":
        """Without those rows."""
        if not len(rows):
            return self
        alive = np.ones(len(self.segment), np.bool_) if self.alive is None else self.alive.copy()
        alive[rows] = False
        return Part(self.segment, alive)

    def rows(self) -> Int64[np.ndarray, " living"]:
        """The rows that are alive."""
        return np.arange(len(self.segment)) if self.alive is None else np.flatnonzero(self.alive)

    def search(self, queries: SparseVectors, k: int, how: Any) -> Hits:
        """As `Index.search` for checked queries; scratch memory is kept for the next search."""
        k = min(k, len(self.segment))
        how = self.segment.index.how if how is None else how
        idle = self._idle.setdefault((k, how), [])
        if len(self._idle) > _IDLE:
            self._idle.clear()
        try:
            searcher = idle.pop()
        except IndexError:
            searcher = self.segment.index.searcher(k, how, self.alive)
        count = len(queries)
        hits = Hits(np.full((count, k), -1, np.int64), np.zeros((count, k), np.float32), np.zeros(count, np.int64))
        searcher.run(queries, hits)
        if len(idle) < _IDLE:
            idle.append(searcher)
        return hits
