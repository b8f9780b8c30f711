"""Blocks of similar documents in each inverted list, and their summaries."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from jaxtyping import Float32, Int32, UInt8, UInt32
from numba import njit

from fewer.errors import RetrievalError
from fewer.kernels.cpu.seismic_blocks import (
    APPROX,
    BY_BLOCK,
    EXACT,
    INVERTED,
    by_component,
    cluster,
    gather,
    shuffle,
    strongest,
    summarise,
)
from fewer.retrieval.index.seismic_options import SeismicOptions
from fewer.retrieval.index.seismic_pruning import Postings, spread
from fewer.retrieval.vectors import SparseVectors

PADDING = 64
"""Entries behind the last summary: kernels read sixteen at a time."""
_CHUNKS = 3
_HOW = {"exact": EXACT, "inverted-index": INVERTED, "inverted-index-approx": APPROX, "chunks": _CHUNKS}
_PIECES = 8  # lists are shared among threads in so many pieces each


@dataclass(frozen=True, eq=False)
class Blocks:
    """All blocks, list by list, and the summary of each: value = code * step + low.

    A list's summaries are a sparse matrix in rows. Few blocks: a row each, whose columns are components. More than `BY_BLOCK`:
    a row for each component that any has, ascending, whose columns are the blocks that have it, counted from the list's first;
    a query then reads only the rows of its own components.
    """

    list_blocks: UInt32[np.ndarray, " dimension+1"]
    """The first block of each component's list."""
    block_starts: UInt32[np.ndarray, " blocks+1"]
    """Where each block begins in `postings`."""
    postings: Int32[np.ndarray, " postings"]
    """Documents."""
    summary_rows: UInt32[np.ndarray, " dimension+1"]
    """The first row of each list."""
    summary_labels: np.ndarray
    """Block or component of each row: uint16 or, where components need it, uint32."""
    summary_starts: UInt32[np.ndarray, " rows+1"]
    """Where each row begins in the two arrays that follow."""
    summary_columns: np.ndarray
    """Of the labels' type, [entries + PADDING]."""
    summary_codes: UInt8[np.ndarray, " entries+PADDING"]
    summary_scales: Float32[np.ndarray, "blocks 2"]
    """Low and step of each block."""

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """From what `arrays` gave."""
        return cls(*(arrays[field.name] for field in fields(cls)))

    def summaries(self, component: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Components, ascending, and decoded values of each block of a list."""
        first, last = (int(at) for at in self.list_blocks[component : component + 2])
        rows = slice(int(self.summary_rows[component]), int(self.summary_rows[component + 1]))
        starts = self.summary_starts[rows.start : rows.stop + 1].astype(np.int64)
        entries = slice(int(starts[0]), int(starts[-1]))
        labels = np.repeat(self.summary_labels[rows], np.diff(starts))
        blocks, components = labels, self.summary_columns[entries]
        if last - first > BY_BLOCK:
            blocks, components = components, blocks
        found = []
        for block in range(last - first):
            mine = np.flatnonzero(blocks == block)
            mine = mine[np.argsort(components[mine])]
            low, step = self.summary_scales[first + block]
            found.append((components[mine].astype(np.int64), self.summary_codes[entries][mine] * step + low))
        return found


def block(vectors: SparseVectors, postings: Postings, options: SeismicOptions, threads: int = 1) -> Blocks:
    """Group and summarise every list. Raises RetrievalError when summaries have more than 2^32 entries."""
    rows = (vectors.starts, vectors.components, vectors.values)
    cut = options.doc_cut
    strong = (np.empty((len(vectors), cut), np.int32), np.zeros((len(vectors), cut), np.float32))
    if _HOW[options.blocking] in (APPROX, INVERTED):
        strongest(*rows, cut, *strong)
    documents = postings.documents.copy()
    kind = np.uint16 if vectors.dimension < 2**16 else np.uint32
    energy = options.summary_energy if options.summary == "energy" else 0.0

    def piece(lists: np.ndarray) -> Any:
        low, high = int(lists[0]), int(lists[-1]) + 1
        return _block_lists(
            low,
            high,
            postings.starts,
            documents,
            rows,
            strong,
            _HOW[options.blocking],
            options.block_size,
            float(options.centroid_fraction),
            options.min_cluster_size,
            options.seed,
            options.shuffle,
            float(energy),
            options.summary_length,
            vectors.dimension,
            np.empty(0, kind),
        )

    # pieces of about equal work
    goal = np.linspace(0, postings.starts[-1], threads * _PIECES + 1)[1:-1]
    parts = [part for part in np.split(np.arange(vectors.dimension), np.searchsorted(postings.starts, goal)) if len(part)]
    counted, sizes, rows_of, labels, lengths, columns, codes, scales = zip(*spread(piece, parts, threads), strict=True)
    entries = sum(map(len, codes))
    if entries + PADDING >= 2**32:
        raise RetrievalError(
            f"the summaries have {entries:,} entries, more than one index addresses: lower n_postings or summary_energy, "
            "or build shards."
        )
    return Blocks(
        _starts(counted),
        _starts(sizes),
        documents,
        _starts(rows_of),
        np.concatenate(labels),
        _starts(lengths),
        np.concatenate([*columns, np.zeros(PADDING, kind)]),
        np.concatenate([*codes, np.zeros(PADDING, np.uint8)]),
        np.concatenate(scales),
    )


def _starts(counts: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.uint32)


@njit(cache=True, nogil=True)
def _block_lists(
    first,
    last,
    starts,
    documents,
    rows,
    strong,
    how,
    block_size,
    fraction,
    least,
    seed,
    shuffled,
    energy,
    length,
    dimension,
    kind,
):
    """Reorders `documents` of lists `first` .. `last` by block. Returns blocks of each list, documents of each block, rows of
    each list, label and entries of each row, the entries' columns and codes, and the blocks' scales."""
    local = np.full(dimension, -1, np.int32)
    dense = np.zeros(dimension, np.float32)
    touched = np.empty(dimension, np.int32)
    kept = np.empty(dimension, np.float32)
    most = 0
    for at in range(first, last):
        most = max(most, starts[at + 1] - starts[at])
    assigned = np.empty(most, np.int64)
    sizes = np.empty(most, np.int64)
    ends = np.empty(most, np.int64)
    all_sizes = np.empty(starts[last] - starts[first], np.int64)
    scales = np.empty((len(all_sizes), 2), np.float32)
    counted = np.zeros(last - first, np.int64)
    rows_of = np.zeros(last - first, np.int64)
    labels = np.empty(1 << 12, kind.dtype)
    lengths = np.empty(1 << 12, np.int64)
    columns = np.empty(1 << 16, kind.dtype)
    codes = np.empty(1 << 16, np.uint8)
    used, block, row = 0, 0, 0
    for at in range(first, last):
        mine = documents[starts[at] : starts[at + 1]]
        if len(mine) == 0:
            continue
        mixed = seed * 0x10001 + at
        if how == _CHUNKS:
            blocks = (len(mine) + block_size - 1) // block_size
            sizes[:blocks] = block_size
            sizes[blocks - 1] = len(mine) - (blocks - 1) * block_size
        else:
            part = assigned[: len(mine)]
            count = cluster(mine, rows, strong, how, fraction, least, mixed, local, dense, part)
            blocks = gather(mine, part, count, sizes)
        if shuffled:
            shuffle(mine, len(mine), mixed + 1)
        counted[at - first] = blocks
        low, begun = 0, used
        for one in range(blocks):
            high = low + sizes[one]
            number = summarise(mine[low:high], rows, energy, length, dense, touched, kept)
            columns, codes = _room(columns, used, used + number), _room(codes, used, used + number)
            least_kept, most_kept = kept[0], kept[0]
            for entry in range(number):
                least_kept = min(least_kept, kept[entry])
                most_kept = max(most_kept, kept[entry])
            step = (most_kept - least_kept) / np.float32(255)
            for entry in range(number):
                columns[used + entry] = touched[entry]
                # equal values leave no step: they decode to the lowest
                codes[used + entry] = 0 if step == 0 else int(np.rint((kept[entry] - least_kept) / step))
            used += number
            ends[one] = used - begun
            all_sizes[block] = sizes[one]
            scales[block, 0], scales[block, 1] = least_kept, step
            block += 1
            low = high
        most_rows = row + (blocks if blocks <= BY_BLOCK else used - begun)
        labels, lengths = _room(labels, row, most_rows), _room(lengths, row, most_rows)
        made = blocks
        if blocks <= BY_BLOCK:
            before = 0
            for one in range(blocks):
                labels[row + one], lengths[row + one] = one, ends[one] - before
                before = ends[one]
        else:
            made = by_component(ends[:blocks], columns[begun:used], codes[begun:used], labels[row:], lengths[row:], local)
        rows_of[at - first] = made
        row += made
    return counted, all_sizes[:block], rows_of, labels[:row], lengths[:row], columns[:used], codes[:used], scales[:block]


@njit(cache=True)
def _room(array, used, needed):
    """`array` with its first `used` entries, and room for `needed`."""
    if needed <= len(array):
        return array
    wider = np.empty(2 * needed, array.dtype)
    wider[:used] = array[:used]
    return wider
