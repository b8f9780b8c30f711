"""A collection to measure search on, and where it is kept."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from fewer.data.places import Places
from fewer.errors import VectorError
from fewer.retrieval.vectors import SparseVectors


@dataclass(frozen=True, eq=False)
class SearchCollection:
    """Documents and questions as vectors of one dimension."""

    name: str
    documents: SparseVectors
    queries: SparseVectors
    """None empty. The first half is for tuning, the second for figures."""

    @property
    def tuning(self) -> SparseVectors:
        """Queries that settings may be chosen on."""
        return self.queries[: len(self.queries) // 2]

    @property
    def held_out(self) -> SparseVectors:
        """Queries that figures come from."""
        return self.queries[len(self.queries) // 2 :]

    def first(self, documents: int) -> Self:
        """The same queries over the first documents only."""
        return type(self)(f"{self.name}, first {documents:,}", self.documents[:documents], self.queries)


def kept(name: str, make: Callable[[], SearchCollection]) -> SearchCollection:
    """The collection `name` from the cache folder, or made and put there; a damaged file is made again."""
    folder = Places.find().cache / "collections"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    if (found := _read(path)) is None:
        found = make()
        _write(path, found)
    return found


def _read(path: Path) -> SearchCollection | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = [
                SparseVectors(
                    file[f"{side}_starts"], file[f"{side}_components"], file[f"{side}_values"], int(file["dimension"])
                )
                for side in ("documents", "queries")
            ]
            return SearchCollection(str(file["name"]), *parts)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, VectorError):
        return None


def _write(path: Path, collection: SearchCollection) -> None:
    """Beside its place, then renamed; not through memory, where a large one would be held twice."""
    arrays: dict[str, Any] = {"name": np.array(collection.name), "dimension": np.array(collection.documents.dimension)}
    for side in ("documents", "queries"):
        vectors: SparseVectors = getattr(collection, side)
        arrays |= {f"{side}_starts": vectors.starts, f"{side}_components": vectors.components, f"{side}_values": vectors.values}
    temporary = path.with_name(f".{path.name}.{np.random.default_rng().integers(1 << 62):x}")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
