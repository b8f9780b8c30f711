"""What every index does: it is built once from vectors, then answers queries; and what every answer holds."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from jaxtyping import Bool, Float32, Int64

from fewer.errors import RetrievalError, VectorError
from fewer.retrieval.vectors import SparseVectors


class Hits(NamedTuple):
    """The best documents of each query, best first."""

    documents: Int64[np.ndarray, "queries k"]
    """Row numbers in the indexed vectors; -1 where fewer than k documents share a term with the query."""
    scores: Float32[np.ndarray, "queries k"]
    """Inner products with the stored vectors; 0 where there is no document."""
    scored: Int64[np.ndarray, " queries"]
    """How many documents were scored in full for each query."""


class Searcher(Protocol):
    """One thread's search over one index: it owns the scratch memory. Not for two threads at once."""

    def run(self, queries: SparseVectors, into: Hits) -> None:
        """Answer checked queries, one after the other in compiled code without the interpreter's lock."""


@dataclass(frozen=True)
class Nothing:
    """No options."""


class Index(ABC):
    """An index that does not change any more. Subclasses store arrays, and answer through a `Searcher`."""

    kind: ClassVar[str]
    """The name in files and on the command line."""
    Options: ClassVar[type] = Nothing
    """A frozen dataclass: what `build` can be told."""
    How: ClassVar[type] = Nothing
    """A frozen dataclass: what a search can be told; its defaults are good ones."""

    dimension: int
    how: Any
    """How it searches when a call does not say: an instance of `How`; `tune` sets it."""

    @classmethod
    @abstractmethod
    def build(cls, vectors: SparseVectors, **options: Any) -> Self:
        """Index the rows of `vectors`; `options` are the fields of `Options`."""

    @abstractmethod
    def __len__(self) -> int:
        """How many documents it holds."""

    @abstractmethod
    def vectors(self) -> SparseVectors:
        """The stored vectors at their stored precision, in row order: what a merge reads."""

    def vectors_of(self, rows: Int64[np.ndarray, " chosen"]) -> SparseVectors:
        """The stored vectors of some rows. An index that keeps vectors row by row has a faster way."""
        return self.vectors()[rows]

    @abstractmethod
    def searcher(self, k: int, how: Any, alive: Bool[np.ndarray, " documents"] | None = None) -> Searcher:
        """A search for one thread; documents that are not `alive` are never found."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything it stores, by name: what a file holds. Contiguous, of plain numeric types."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What else a file must hold, as JSON."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        """The index of `arrays` and `settings`; the arrays may be read-only maps of a file and are not copied."""

    @abstractmethod
    def ladder(self) -> Sequence[Any]:
        """Settings (`How`) worth measuring, of all costs: what the tuner chooses from."""

    @property
    def bytes(self) -> int:
        """Of all stored arrays."""
        return sum(array.nbytes for array in self.arrays().values())

    def search(
        self,
        queries: SparseVectors,
        k: int = 10,
        how: Any = None,
        threads: int = 1,
        alive: Bool[np.ndarray, " documents"] | None = None,
    ) -> Hits:
        """The k best documents of each query by inner product.

        Args:
            queries: of the index's dimension, none empty.
            k: 1 .. the number of documents.
            how: an instance of `How`; the index's own `how` when not given.
            threads: queries are divided among them.
            alive: documents that are False here are never found; all may be found when not given.

        Raises:
            VectorError: an empty query, or another dimension.
            RetrievalError: k, `how`, `threads` or `alive` out of range.
        """
        how = self.how if how is None else how
        self._check(queries, k, how, threads, alive)
        count = len(queries)
        hits = Hits(np.full((count, k), -1, np.int64), np.zeros((count, k), np.float32), np.zeros(count, np.int64))
        parts = np.array_split(np.arange(count), min(threads, max(count, 1)))

        def answer(part: np.ndarray) -> None:
            rows = slice(int(part[0]), int(part[-1]) + 1)
            self.searcher(k, how, alive).run(queries[rows], Hits(*(array[rows] for array in hits)))

        if len(parts) == 1 and count:
            answer(parts[0])
        elif count:
            with ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(answer, parts))
        return hits

    def _check(self, queries: SparseVectors, k: int, how: Any, threads: int, alive: np.ndarray | None) -> None:
        if queries.dimension != self.dimension:
            raise VectorError(f"queries have dimension {queries.dimension}, the index {self.dimension}.")
        if len(empty := np.flatnonzero(np.diff(queries.starts) == 0)):
            raise VectorError(f"query {empty[0]} is empty: it has no known term.")
        if not 1 <= k <= len(self):
            raise RetrievalError(f"k must be from 1 to the number of documents, {len(self)}; given: {k}.")
        if not isinstance(how, self.How):
            raise RetrievalError(f"a {self.kind} index is searched with {self.How.__qualname__}, not {type(how).__qualname__}.")
        if threads < 1:
            raise RetrievalError(f"threads must be at least 1; given: {threads}.")
        if alive is not None and (alive.shape != (len(self),) or alive.dtype != np.bool_):
            raise RetrievalError(f"alive must be {len(self)} booleans; given: {alive.dtype} of shape {alive.shape}.")


def options_of(kind: type[Index], given: Mapping[str, Any]) -> Any:
    """`given` as the index's `Options`. Raises RetrievalError for a name that it does not have."""
    allowed = [field.name for field in fields(kind.Options)]
    if unknown := sorted(set(given) - set(allowed)):
        raise RetrievalError(f"a {kind.kind} index has no option {unknown[0]!r}; allowed: {', '.join(allowed) or 'none'}.")
    return kind.Options(**given)
