"""An index ordered by impact: postings in levels of like value, added up in small counters, and the best scored exactly."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numba import njit

from fewer.errors import RetrievalError
from fewer.kernels import dispatch
from fewer.kernels.cpu import impact as kernel
from fewer.kernels.cpu.impact import ENTRY, LEVELS
from fewer.retrieval.index.forward import Forward, Values, aligned
from fewer.retrieval.index.index import Hits, Index, options_of
from fewer.retrieval.index.rows import Rows
from fewer.retrieval.vectors import SparseVectors

_LARGEST_CHUNK = 65504


@dataclass(frozen=True)
class ImpactOptions:
    """How an `ImpactIndex` is built."""

    values: Values = "float16"
    """How the vectors are stored for exact scoring."""
    chunk: int = _LARGEST_CHUNK
    """Documents that are counted together: a multiple of 32, at most 65,504."""
    row: float = 1 / 8
    """Terms that at least this share of the documents have are also stored as rows, a byte for each document; above 1: none."""
    threads: int = 1
    """Threads of the build."""


@dataclass(frozen=True)
class ImpactHow:
    """How an `ImpactIndex` is searched. A lower cut, more candidates and a smaller gamma are slower and find more."""

    cut: float = 0.15
    """Postings whose contribution is below this share of the largest possible one are not counted."""
    candidates: int = 100
    """Documents that are scored exactly, at most: those with the largest counters."""
    gamma: float = 0.5
    """Of these, only such whose counter is at least this share of what the k-th best score would have counted."""
    exact: bool = False
    """Find the k best for certain; `cut` then says which postings are counted at first, the other two nothing."""


class ImpactIndex(Index):
    """See the module's docstring."""

    kind: ClassVar[str] = "impact"
    Options = ImpactOptions
    How = ImpactHow

    def __init__(
        self, forward: Forward, table: np.ndarray, firsts: np.ndarray, ids: np.ndarray, rows: Rows, chunk: int, top: float
    ):
        """Made by `build` or `from_arrays`."""
        self.rows = rows
        self.forward, self.table, self.firsts, self.ids, self.chunk, self.top = forward, table, firsts, ids, chunk, top
        self.dimension = forward.dimension
        self.how = ImpactHow()

    @classmethod
    def build(cls, vectors: SparseVectors, **options: Any) -> Self:
        """Index the rows; `options` are the fields of `ImpactOptions`. Raises RetrievalError for options out of range."""
        chosen = options_of(cls, options)
        count = len(vectors)
        if not 32 <= chosen.chunk <= _LARGEST_CHUNK or chosen.chunk % 32:
            raise RetrievalError(f"chunk must be a multiple of 32 up to {_LARGEST_CHUNK}; given: {chosen.chunk}.")
        share = -(-count // max(1, -(-count // chosen.chunk)))
        chunk = max(32, -(-share // 32) * 32)
        chunks = max(1, -(-count // chunk))
        top = float(vectors.values.max(initial=0)) or 1.0
        table = aligned(chunks * vectors.dimension * ENTRY).reshape(chunks, vectors.dimension, ENTRY)
        bounds = np.minimum(np.arange(chunks + 1) * chunk, count)
        firsts = vectors.starts[bounds].astype(np.int64)
        ids = np.zeros(len(vectors.components) + 64, np.uint16)

        def one(number: int) -> None:
            low, high = bounds[number], bounds[number + 1]
            _order(
                vectors.starts[low : high + 1],
                vectors.components,
                vectors.values,
                np.float32(LEVELS / top),
                table[number].view(np.uint32),
                table[number].view(np.uint16),
                ids[firsts[number] : firsts[number + 1]],
            )

        with ThreadPoolExecutor(chosen.threads) as pool:
            list(pool.map(one, range(chunks)))
        rows = Rows.pack(vectors, chosen.row, chunk * chunks, top)
        return cls(Forward.pack(vectors, chosen.values), table, firsts, ids, rows, chunk, top)

    def __len__(self) -> int:
        return len(self.forward)

    def vectors_of(self, rows: np.ndarray) -> SparseVectors:
        """Read from the lines of these rows alone."""
        return self.forward.take(rows).vectors()

    def vectors(self) -> SparseVectors:
        """As stored."""
        return self.forward.vectors()

    def searcher(self, k: int, how: Any, alive: np.ndarray | None = None) -> "ImpactSearcher":
        return ImpactSearcher(self, k, how, alive)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"table": self.table, "firsts": self.firsts, "ids": self.ids, **self.rows.arrays(), **self.forward.arrays()}

    def settings(self) -> dict[str, Any]:
        return {"chunk": self.chunk, "top": self.top, "forward": self.forward.settings()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        forward = Forward.from_arrays(arrays, settings["forward"])
        return cls(
            forward,
            arrays["table"],
            arrays["firsts"],
            arrays["ids"],
            Rows.from_arrays(arrays),
            settings["chunk"],
            settings["top"],
        )

    def ladder(self) -> Sequence[ImpactHow]:
        return [
            ImpactHow(cut, candidates)
            for cut in (0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1)
            for candidates in (15, 20, 30, 40, 50, 60, 80, 100, 130, 160, 220, 320)
        ]


class ImpactSearcher:
    """One thread's search: its counters, candidate lists and the job that the kernel reads."""

    def __init__(self, index: ImpactIndex, k: int, how: ImpactHow, alive: np.ndarray | None):
        self._index, self.k = index, k
        room = 4 * max(how.candidates, k) + 4096
        self._scratch = [
            aligned(2 * index.chunk + 64),
            aligned(2 * kernel.CELLS),
            aligned(4 * room),
            aligned(2 * room),
            aligned(8 * k),
            aligned(32 * (kernel.LONGEST + 1)),
            aligned(4 * room),
            aligned(4 * (index.dimension + 17)),
            aligned(16 * kernel.MOST_ROWS),
        ]
        counters, cells, found, counts, heap, plan, waiting, query, row_plan = (a.ctypes.data for a in self._scratch)
        # Exact search counts with upper edges, and a margin for what the stored values were rounded up by.
        edges = LEVELS - np.arange(LEVELS) - (0 if how.exact else 0.5)
        levels = (edges / LEVELS * index.top * (1.001 if how.exact else 1)).astype(np.float32)
        if how.exact and index.forward.values == "uint8":
            levels += np.float32(index.forward.unit)
        floats = np.array([how.cut, how.gamma, index.forward.unit], np.float32)
        living = np.ascontiguousarray([] if alive is None else alive, np.uint8)
        self._held = (levels, floats, living)  # the job names their addresses
        job = np.zeros(kernel.JOB // 8, np.int64)
        values = {
            kernel.K: k,
            kernel.CHUNKS: len(index.table),
            kernel.CHUNK: index.chunk,
            kernel.SIZE: len(index),
            kernel.DIMENSION: index.dimension,
            kernel.TABLE: index.table.ctypes.data,
            kernel.FIRSTS: index.firsts.ctypes.data,
            kernel.IDS: index.ids.ctypes.data,
            kernel.LEVEL_VALUES: levels.ctypes.data,
            kernel.FORM: index.forward.form,
            kernel.LINE_STARTS: index.forward.starts.ctypes.data,
            kernel.LINES: index.forward.lines.ctypes.data,
            kernel.LINE: index.forward.line,
            kernel.QUERY: query,
            kernel.COUNTER: counters,
            kernel.CELL: cells,
            kernel.CANDIDATES: 2 * k if how.exact else max(how.candidates, k),
            kernel.FOUND: found,
            kernel.FOUND_COUNTS: counts,
            kernel.ROOM: room,
            kernel.HEAP: heap,
            kernel.PLAN: plan,
            kernel.WAITING: waiting,
            kernel.ALIVE: 0 if alive is None else living.ctypes.data,
            kernel.EXACT: int(how.exact),
            kernel.ROW_OF: index.rows.of.ctypes.data,
            kernel.ROWS: index.rows.codes.ctypes.data,
            kernel.ROW: index.rows.codes.shape[1],
            kernel.ROW_TOTALS: index.rows.totals.ctypes.data,
            kernel.ROW_PLAN: row_plan,
            kernel.FLOATS: floats.ctypes.data,
        }
        for at, value in values.items():
            job[at // 8] = value
        self._job, self._address = job, job.ctypes.data
        self._kernel = kernel.search_avx512 if dispatch.cpu_path() == "avx512" else kernel.search_portable

    def run(self, queries: SparseVectors, into: Hits) -> None:
        self._kernel(self._address, queries.starts, queries.components, queries.values, *into)


@njit(cache=True, nogil=True)
def _order(starts, components, values, steps, table, ends, ids):
    """Order a chunk's postings by term, level and document. `table` and `ends`: the same memory as 32 and 16-bit numbers."""
    for row in range(len(starts) - 1):
        for at in range(starts[row], starts[row + 1]):
            level = LEVELS - min(LEVELS, max(1, int(np.ceil(values[at] * steps))))
            ends[components[at], 2 + level] += 1
    first = 0
    for term in range(len(table)):
        table[term, 0] = first
        until = 0
        for level in range(LEVELS):
            count = ends[term, 2 + level]
            ends[term, 2 + level] = until
            until += count
        first += until
    for row in range(len(starts) - 1):
        for at in range(starts[row], starts[row + 1]):
            level = LEVELS - min(LEVELS, max(1, int(np.ceil(values[at] * steps))))
            term = components[at]
            ids[table[term, 0] + ends[term, 2 + level]] = row
            ends[term, 2 + level] += 1
