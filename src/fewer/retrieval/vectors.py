"""Sparse non-negative vectors, row by row: what every index is built from and asked with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float32, Int32, Int64

from fewer.errors import VectorError


@dataclass(frozen=True, eq=False)
class SparseVectors:
    """Rows in compressed form (CSR). Within a row components ascend and none stands twice; values are finite and positive.

    Raises:
        VectorError: the arrays do not fit each other, or a row is not as described; the message names the row.
    """

    starts: Int64[np.ndarray, " rows+1"]
    """Where each row begins in the other two arrays; the last entry is their length."""
    components: Int32[np.ndarray, " entries"]
    values: Float32[np.ndarray, " entries"]
    dimension: int
    """Components lie in 0 .. dimension - 1."""

    def __post_init__(self) -> None:
        for name, kind in (("starts", np.int64), ("components", np.int32), ("values", np.float32)):
            object.__setattr__(self, name, _array(name, getattr(self, name), kind))
        _check(self.starts, self.components, self.values, self.dimension)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, rows: slice | np.ndarray) -> "SparseVectors":
        """The rows of a slice, or of an array of row numbers or booleans, in that order."""
        if isinstance(rows, slice) and rows.step in (None, 1):
            low, high, _ = rows.indices(len(self))
            starts = self.starts[low : max(low, high) + 1]
            first, last = int(starts[0]), int(starts[-1])
            return self._trusted(starts - first, self.components[first:last], self.values[first:last])
        chosen = np.arange(len(self))[rows]
        lengths = np.diff(self.starts)[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        entries = np.arange(starts[-1]) + np.repeat(self.starts[chosen] - starts[:-1], lengths)
        return self._trusted(starts, self.components[entries], self.values[entries])

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Components and values of one row."""
        low, high = self.starts[number], self.starts[number + 1]
        return self.components[low:high], self.values[low:high]

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[int, float]], dimension: int) -> Self:
        """From one mapping of component to value a row; zeros are left out, the order of the components does not matter."""
        sorted_rows = [sorted((c, v) for c, v in row.items() if v != 0) for row in rows]
        starts = np.concatenate([[0], np.cumsum([len(row) for row in sorted_rows], dtype=np.int64)])
        components = np.array([c for row in sorted_rows for c, _ in row], dtype=np.int64)
        values = np.array([v for row in sorted_rows for _, v in row], dtype=np.float32)
        return cls(starts, components, values, dimension)

    @classmethod
    def from_scipy(cls, matrix: Any) -> Self:
        """From a scipy CSR matrix of shape (rows, dimension); stored zeros are left out.

        Raises:
            VectorError: as the class; for unsorted or double entries call `sum_duplicates()` on the matrix first.
        """
        matrix = matrix.tocsr()
        if (matrix.data == 0).any():
            matrix = matrix.copy()
            matrix.eliminate_zeros()
        return cls(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1])

    def to_scipy(self) -> Any:
        """A scipy CSR array of float32 that shares this one's memory."""
        from scipy.sparse import csr_array

        return csr_array((self.values, self.components, self.starts), shape=(len(self), self.dimension))

    @classmethod
    def concatenate(cls, parts: "Iterable[SparseVectors]") -> "SparseVectors":
        """All rows of all parts, in order. Raises VectorError when there is no part, or their dimensions differ."""
        given = list(parts)
        if len({part.dimension for part in given}) != 1:
            raise VectorError(f"only vectors of one dimension can be joined; given: {sorted({p.dimension for p in given})}.")
        lengths = np.concatenate([np.diff(part.starts) for part in given])
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        components = np.concatenate([part.components for part in given])
        return given[0]._trusted(starts, components, np.concatenate([part.values for part in given]))

    def _trusted(self, starts: np.ndarray, components: np.ndarray, values: np.ndarray) -> "SparseVectors":
        """Rows of checked vectors need no check."""
        made = object.__new__(SparseVectors)
        for name, given in zip(
            ("starts", "components", "values", "dimension"), (starts, components, values, self.dimension), strict=True
        ):
            object.__setattr__(made, name, given)
        return made


def _array(name: str, given: Any, kind: Any) -> np.ndarray:
    found = np.asarray(given)
    if found.ndim != 1:
        raise VectorError(f"{name} must be one-dimensional; given: shape {found.shape}.")
    if kind is not np.float32 and found.dtype.kind not in "iu" and found.size:
        raise VectorError(f"{name} must be whole numbers; given: {found.dtype}.")
    if kind is np.int32 and found.size and (found.max() > np.iinfo(np.int32).max or found.min() < 0):
        raise VectorError(f"components must lie in 0 .. dimension - 1; given: {found.min()} .. {found.max()}.")
    return np.ascontiguousarray(found, dtype=kind)


def _check(starts: np.ndarray, components: np.ndarray, values: np.ndarray, dimension: int) -> None:
    if dimension < 1:
        raise VectorError(f"the dimension must be at least 1; given: {dimension}.")
    if not len(starts) or starts[0] != 0 or starts[-1] != len(components) or (np.diff(starts) < 0).any():
        raise VectorError(
            f"starts must rise from 0 to the number of entries, {len(components)}; given: {len(starts)} numbers"
            + (f" from {starts[0]} to {starts[-1]}." if len(starts) else ".")
        )
    if len(values) != len(components):
        raise VectorError(f"every component needs a value; given: {len(components)} components, {len(values)} values.")

    def row(entry: Any) -> str:
        return f"row {int(np.searchsorted(starts, int(entry), side='right')) - 1}"

    if len(bad := np.flatnonzero(~(values > 0) | ~np.isfinite(values))):
        raise VectorError(
            f"values must be finite and above 0; {row(bad[0])} has {values[bad[0]]} at component {components[bad[0]]}."
        )
    if len(bad := np.flatnonzero(components >= dimension)):
        raise VectorError(f"components must lie below the dimension, {dimension}; {row(bad[0])} has {components[bad[0]]}.")
    rises = np.diff(components) > 0
    inner = starts[1:-1]
    rises[inner[(inner > 0) & (inner < len(components))] - 1] = True
    if len(bad := np.flatnonzero(~rises)):
        at = bad[0]
        what = "twice" if components[at] == components[at + 1] else f"before {components[at + 1]}"
        raise VectorError(f"components of a row must ascend, each once; {row(at)} has {components[at]} {what}.")
