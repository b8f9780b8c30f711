"""The exact index: float32 postings. The dense twin of the others, and their ground truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from fewer.errors import IndexFileError, RetrievalError
from fewer.kernels.cpu import postings, postings_bounded
from fewer.kernels.cpu.postings_lanes import GROUP
from fewer.retrieval.index.index import Hits, Index, Searcher, options_of
from fewer.retrieval.vectors import SparseVectors

Traversal = Literal["term", "bounded"]
_invert: Any = postings.invert
_peaks: Any = postings.peaks
_kernels: dict[str, Any] = {"term": postings.term_at_a_time, "bounded": postings_bounded.bounded}


@dataclass(frozen=True)
class ExactHow:
    """Which way to the same answer. Raises RetrievalError for another."""

    traversal: Traversal = "term"
    """ "term" reads every posting, term at a time; "bounded" stops when no new document can come among the best, and looks the
    rest up: faster for queries of a few words."""

    def __post_init__(self) -> None:
        if self.traversal not in get_args(Traversal):
            raise RetrievalError(f"an exact index is traversed by {', '.join(get_args(Traversal))}; given: {self.traversal!r}.")


@dataclass(frozen=True, eq=False)
class ExactIndex(Index):
    """For each term its documents and their values, as given; built by `ExactIndex.build(vectors)`.

    Scores are float32 sums whose order depends on the way; of equal scores the lower row number comes first.
    """

    kind: ClassVar[str] = "exact"
    How: ClassVar[type] = ExactHow

    starts: Int64[np.ndarray, " dimension+1"]
    """Where the postings of each term begin; the last entry is their number."""
    documents: Int32[np.ndarray, " postings"]
    """Ascending within a term."""
    values: Float32[np.ndarray, " postings"]
    peaks: Float32[np.ndarray, "dimension ranks"]
    """The 1st, 10th, 100th and 1000th largest value of each term."""
    rows: int
    """How many documents there are."""
    dimension: int
    how: Any = field(default_factory=ExactHow)

    @classmethod
    def build(cls, vectors: SparseVectors, **options: Any) -> Self:
        """Index the rows of `vectors`. There are no options."""
        options_of(cls, options)
        starts, documents, values = _invert(*_fixed(vectors.starts, vectors.components, vectors.values), vectors.dimension)
        highest = _peaks(*_fixed(starts, values), postings_bounded.RANKS)
        return cls(starts, documents, values, highest, rows=len(vectors), dimension=vectors.dimension)

    def __len__(self) -> int:
        return self.rows

    def vectors(self) -> SparseVectors:
        """What was given to `build`."""
        starts, components, values = _invert(*_fixed(self.starts, self.documents, self.values), self.rows)
        return SparseVectors(starts, components, values, self.dimension)

    def searcher(self, k: int, how: Any, alive: Bool[np.ndarray, " documents"] | None = None) -> Searcher:
        """Holds a float for each document."""
        return _Search(self, k, how, alive)

    def ladder(self) -> Sequence[Any]:
        """Every way; all find the same."""
        return tuple(ExactHow(way) for way in get_args(Traversal))

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {"starts": self.starts, "documents": self.documents, "values": self.values, "peaks": self.peaks}

    def settings(self) -> dict[str, Any]:
        """For a file."""
        return {"rows": self.rows, "dimension": self.dimension}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        """From what `arrays` and `settings` gave.

        Raises:
            IndexFileError: arrays that do not fit each other, so that a search would read beside them.
        """
        starts, documents, values, peaks = (arrays[name] for name in ("starts", "documents", "values", "peaks"))
        rows, dimension = settings["rows"], settings["dimension"]
        fits = len(starts) == dimension + 1 and starts[0] == 0 and starts[-1] == len(documents) == len(values)
        fits = fits and peaks.shape == (dimension, len(postings_bounded.RANKS))
        if not fits or (np.diff(starts) < 0).any() or (len(documents) and not 0 <= documents.min() <= documents.max() < rows):
            raise IndexFileError(
                f"these are no postings of {rows} documents and {dimension} terms: {len(starts)} starts up to {starts[-1:]}, "
                f"{len(documents)} documents, {len(values)} values, peaks {peaks.shape}. Build the index again."
            )
        return cls(starts, documents, values, peaks, rows, dimension)


class _Search:
    """One thread's sums, and room for candidates."""

    def __init__(self, index: ExactIndex, k: int, how: ExactHow, alive: np.ndarray | None):
        documents = index.documents.view(np.uint32)
        room = np.zeros(-(-len(index) // GROUP) * GROUP + GROUP, np.float32)
        skip = (-room.ctypes.data % 64) // 4
        sums = room[skip : skip + len(room) - GROUP]
        (alive,) = _fixed(np.empty(0, np.bool_) if alive is None else alive)
        self._kernel = _kernels[how.traversal]
        self._index = _fixed(index.starts, documents, index.values)
        self._scratch: tuple[Any, ...] = (alive, sums, sums.ctypes.data, np.empty(k, np.float32), np.empty(k, np.int64))
        if how.traversal == "bounded":
            few = max(len(index) // 8, 64)
            self._index += _fixed(index.peaks)
            self._scratch += (np.empty(few, np.uint32), np.empty(few, np.float32))

    def run(self, queries: SparseVectors, into: Hits) -> None:
        """Answer checked queries."""
        asked = _fixed(queries.starts, queries.components, queries.values)
        self._kernel(*self._index, *asked, *self._scratch, into.documents, into.scores, into.scored)


def _fixed(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Read-only views: a kernel is compiled once, whether its arrays are maps of a file or not."""
    views = tuple(array.view() for array in arrays)
    for view in views:
        view.flags.writeable = False
    return views
