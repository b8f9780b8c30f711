"""The exact index: float32 postings, every one of them read. The dense twin of the others, and their ground truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from fewer.errors import IndexFileError
from fewer.kernels.cpu.postings import SWEEP, invert, term_at_a_time
from fewer.retrieval.index.index import Hits, Index, Nothing, Searcher, options_of
from fewer.retrieval.vectors import SparseVectors


@dataclass(frozen=True, eq=False)
class ExactIndex(Index):
    """For each term its documents and their values, as given; built by `ExactIndex.build(vectors)`.

    Scores are float32 sums in the order of the terms; of equal scores the lower row number comes first.
    """

    kind: ClassVar[str] = "exact"

    starts: Int64[np.ndarray, " dimension+1"]
    """Where the postings of each term begin; the last entry is their number."""
    documents: Int32[np.ndarray, " postings"]
    """Ascending within a term."""
    values: Float32[np.ndarray, " postings"]
    rows: int
    """How many documents there are."""
    dimension: int
    how: Any = Nothing()

    @classmethod
    def build(cls, vectors: SparseVectors, **options: Any) -> Self:
        """Index the rows of `vectors`. There are no options."""
        options_of(cls, options)
        return cls(
            *invert(*frozen(vectors.starts, vectors.components, vectors.values), vectors.dimension),
            len(vectors),
            vectors.dimension,
        )

    def __len__(self) -> int:
        return self.rows

    def vectors(self) -> SparseVectors:
        """What was given to `build`."""
        terms = np.repeat(np.arange(self.dimension, dtype=np.int32), np.diff(self.starts))
        starts, components, values = invert(*frozen(self.starts, self.documents, self.values), self.rows)
        return SparseVectors(starts, components, values, self.dimension)

    def searcher(self, k: int, how: Any, alive: Bool[np.ndarray, " documents"] | None = None) -> Searcher:
        """Holds a float for each document."""
        return _TermAtATime(self, k, alive)

    def ladder(self) -> Sequence[Any]:
        """There is one way."""
        return (Nothing(),)

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {"starts": self.starts, "documents": self.documents, "values": self.values}

    def settings(self) -> dict[str, Any]:
        """For a file."""
        return {"rows": self.rows, "dimension": self.dimension}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        """From what `arrays` and `settings` gave.

        Raises:
            IndexFileError: arrays that do not fit each other, so that a search would read beside them.
        """
        starts, documents, values = (arrays[name] for name in ("starts", "documents", "values"))
        rows, dimension = settings["rows"], settings["dimension"]
        fits = len(starts) == dimension + 1 and starts[0] == 0 and starts[-1] == len(documents) == len(values)
        if not fits or (np.diff(starts) < 0).any() or (len(documents) and not 0 <= documents.min() <= documents.max() < rows):
            raise IndexFileError(
                f"an exact index of {rows} documents and {dimension} terms cannot have {len(starts)} starts up to {starts[-1:]}, "
                f"{len(documents)} documents and {len(values)} values. Build it again."
            )
        return cls(starts, documents, values, rows, dimension)


class _TermAtATime:
    """Adds up every posting of the query's terms."""

    def __init__(self, index: ExactIndex, k: int, alive: np.ndarray | None):
        self._index = frozen(index.starts, index.documents, index.values)
        alive = np.empty(0, np.bool_) if alive is None else alive
        sums = np.zeros(-(-len(index) // SWEEP) * SWEEP, np.float32)
        self._scratch = (*frozen(alive), sums, np.empty(k, np.float32), np.empty(k, np.int64))

    def run(self, queries: SparseVectors, into: Hits) -> None:
        """Answer checked queries."""
        asked = frozen(queries.starts, queries.components, queries.values)
        term_at_a_time(*self._index, *asked, *self._scratch, into.documents, into.scores, into.scored)


def frozen(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Read-only views: a kernel is compiled once, whether its arrays are maps of a file or not."""
    views = tuple(array.view() for array in arrays)
    for view in views:
        view.flags.writeable = False
    return views
