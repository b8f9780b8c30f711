"""The sparse matrices of BigANN (NeurIPS 2023, sparse track).

Little-endian: rows, columns and entries (int64), starts of the rows (int64), components (int32), values (float32).
"""

from pathlib import Path

import numpy as np

from fewer.errors import IndexFileError
from fewer.files import whole_file
from fewer.retrieval.vectors import SparseVectors

_HEADER = 24


def write_csr(path: str | Path, vectors: SparseVectors) -> Path:
    """Write `vectors` as one matrix. Returns the path."""
    with whole_file(path) as file:
        file.write(np.array([len(vectors), vectors.dimension, len(vectors.values)], "<i8").tobytes())
        for array, kind in ((vectors.starts, "<i8"), (vectors.components, "<i4"), (vectors.values, "<f4")):
            file.write(np.ascontiguousarray(array, kind).data)
    return Path(path)


def read_csr(path: str | Path) -> SparseVectors:
    """Read one matrix; components are sorted within rows and zeros left out.

    Raises:
        IndexFileError: the file's size is not what its header says, or a row's start or component is out of range.
        VectorError: a negative or infinite value, or a component twice in a row.
    """
    size = Path(path).stat().st_size
    if size < _HEADER:
        raise IndexFileError(f"{path} ends within the header, after {size} of {_HEADER} bytes.")
    rows, columns, entries = (int(number) for number in np.fromfile(path, "<i8", 3))
    if not (rows >= 0 and 0 < columns < 2**31 and entries >= 0):
        raise IndexFileError(f"{path} says at byte 0 that it has {rows} rows, {columns} columns and {entries} entries.")
    needed = _HEADER + 8 * (rows + 1) + 8 * entries
    if size != needed:
        raise IndexFileError(f"{path} should have {needed} bytes for {rows} rows and {entries} entries; it has {size}.")
    starts = np.fromfile(path, "<i8", rows + 1, offset=_HEADER)
    components = np.fromfile(path, "<i4", entries, offset=_HEADER + 8 * (rows + 1))
    values = np.fromfile(path, "<f4", entries, offset=_HEADER + 8 * (rows + 1) + 4 * entries)
    if starts[0] != 0 or starts[-1] != entries or len(bad := np.flatnonzero(np.diff(starts) < 0)):
        row = int(bad[0]) if starts[0] == 0 and starts[-1] == entries else 0
        raise IndexFileError(f"{path}: the rows do not rise from 0 to {entries}; see byte {_HEADER + 8 * row}, row {row}.")
    if len(bad := np.flatnonzero((components < 0) | (components >= columns))):
        row = int(np.searchsorted(starts, bad[0], side="right")) - 1
        raise IndexFileError(f"{path}: row {row} has column {components[bad[0]]} of {columns}.")
    from scipy.sparse import csr_array

    matrix = csr_array((values, components, starts), shape=(rows, columns))
    matrix.sort_indices()
    return SparseVectors.from_scipy(matrix)
