"""Very common terms as rows: a byte for each document, so that 32 documents are counted at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Int32, Int64, UInt8
from numba import njit

from fewer.kernels.cpu.impact import CODES, LEVELS
from fewer.retrieval.index.forward import aligned
from fewer.retrieval.vectors import SparseVectors


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of an `ImpactIndex`."""

    of: Int32[np.ndarray, " dimension"]
    """The row of each term, or -1."""
    codes: UInt8[np.ndarray, "rows documents"]
    """Values in 1/CODES of the largest, rounded up; 0 where the document lacks the term. Padded to whole chunks."""
    totals: Int64[np.ndarray, "rows levels"]
    """How many documents have the term at each level or a higher one."""

    @classmethod
    def pack(cls, vectors: SparseVectors, share: float, width: int, top: float) -> Self:
        """Rows, `width` bytes each, of the terms that at least this share of the vectors have; `top`: the largest value."""
        counts = np.bincount(vectors.components, minlength=vectors.dimension)
        common = np.flatnonzero((counts >= share * len(vectors)) & (counts > 0))
        of = np.full(vectors.dimension, -1, np.int32)
        of[common] = np.arange(len(common))
        codes = aligned(len(common) * width).reshape(len(common), width)
        totals = np.zeros((len(common), LEVELS), np.int64)
        _fill(vectors.starts, vectors.components, vectors.values, of, np.float32(1 / top), codes, totals)
        return cls(of, codes, totals.cumsum(axis=1))

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {"row_of": self.of, "row_codes": self.codes, "row_totals": self.totals}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """From what `arrays` gave."""
        return cls(arrays["row_of"], arrays["row_codes"], arrays["row_totals"])


@njit(cache=True, nogil=True)
def _fill(starts, components, values, of, share, codes, totals):
    for document in range(len(starts) - 1):
        for at in range(starts[document], starts[document + 1]):
            row = of[components[at]]
            if row >= 0:
                part = values[at] * share
                # what rounding takes from the product must not take a code from the bound
                codes[row, document] = min(CODES, int(np.ceil(part * CODES)))
                totals[row, LEVELS - min(LEVELS, max(1, int(np.ceil(part * LEVELS))))] += 1
