"""Several stores searched as one: their folders served by actors, read-only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from fewer.errors import RetrievalError
from fewer.retrieval.shards.actors import Shards
from fewer.retrieval.store.store import Store
from fewer.retrieval.store.view import Match
from fewer.retrieval.vectors import SparseVectors


class ShardedMatches(NamedTuple):
    """What the stores found together."""

    matches: list[list[Match]]
    """For each query, best first; equal scores in the order of their ids."""
    answered: tuple[int, ...]
    """Numbers of the stores that answered."""
    shards: int
    """How many there are."""

    @property
    def partial(self) -> bool:
        """Whether documents of some store are missing."""
        return len(self.answered) < self.shards


class ShardedStore:
    """Each store as it was when its actor opened it. An id should be in one store; where it is in two, both are found.

    Args:
        folders: of stores with the same dimension, seen by every machine of the cluster.

    Raises:
        IndexFileError: a folder that holds no store, or a damaged one.
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, folders: Sequence[str | Path]):
        if not folders:
            raise RetrievalError("a sharded store needs at least one folder; given: none.")
        self._shards = Shards([_Opener(Path(folder).absolute()) for folder in folders])
        try:
            self._size = sum(self._shards.sizes())
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return self._size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def search(self, queries: SparseVectors, k: int = 10, how: Any = None, timeout: float | None = 10.0) -> ShardedMatches:
        """As `Store.search`, over all stores that answer within `timeout` seconds (None: however long).

        Raises:
            VectorError: an empty query, or another dimension.
            RetrievalError: k or `how` out of range, or no store answered.
        """
        return self._ask(_Question("search", queries, k, how), len(queries), timeout)

    def search_dense(self, queries: np.ndarray, k: int = 10, timeout: float | None = 10.0) -> ShardedMatches:
        """As `Store.search_dense`, likewise."""
        return self._ask(_Question("search_dense", queries, k, None), len(queries), timeout)

    def pids(self) -> list[int]:
        """Process number of each actor."""
        return self._shards.pids()

    def close(self) -> None:
        """End the actors; the stores and the Ray cluster stay."""
        self._shards.close()

    def _ask(self, question: "_Question", queries: int, timeout: float | None) -> ShardedMatches:
        if not 1 <= question.k <= len(self):
            raise RetrievalError(f"k must be from 1 to the number of documents, {len(self)}; given: {question.k}.")
        answers = self._shards.ask(question, timeout)
        if not answers:
            raise RetrievalError(
                f"none of {len(self._shards)} stores answered (timeout {timeout} s). They restart by themselves; ask again."
            )
        found = [
            sorted(
                (match for answer in answers.values() for match in answer[query]), key=lambda match: (-match.score, match.id)
            )
            for query in range(queries)
        ]
        return ShardedMatches([row[: question.k] for row in found], tuple(sorted(answers)), len(self._shards))


class _Question(NamedTuple):
    what: str
    queries: Any
    k: int
    how: Any


@dataclass(frozen=True)
class _Opener:
    folder: Path

    def __call__(self) -> "_Serving":
        return _Serving(self.folder)


class _Serving:
    """A store in an actor's process."""

    def __init__(self, folder: Path):
        self._store = Store.open(folder, read_only=True)

    def __len__(self) -> int:
        return len(self._store)

    def answer(self, question: _Question) -> list[list[Match]]:
        if not len(self._store):
            return [[] for _ in question.queries]
        k = min(question.k, len(self._store))
        if question.what == "search_dense":
            return self._store.search_dense(question.queries, k)
        return self._store.search(question.queries, k, question.how)
