"""Concentration of importance: how much of a vector's mass its largest entries hold.

Pruning lists and thinning summaries lose little only where few entries hold most of the mass (Bruch et al. 2024, section 4):
learned vectors are so, raw BM25 weights of short texts are not. Print the curve before an index is built:
`print(concentration(documents))`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numba import njit

from fewer.errors import VectorError
from fewer.retrieval.vectors import SparseVectors

SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75)


class Concentration(NamedTuple):
    """The curve, averaged over rows; empty rows are left out."""

    shares: tuple[float, ...]
    """Of a row's entries, its largest; a share that is no whole number of entries counts part of the next one."""
    mass: Float64[np.ndarray, " shares"]
    """Share of the row's sum that those entries hold. Equal entries: the share itself."""
    entries: float
    """Mean entries of a row."""
    for_half: float
    """Mean number of entries that reach half of the row's sum."""

    def at(self, share: float) -> float:
        """Mass at a share, between the curve's points in a straight line."""
        return float(np.interp(share, (0.0, *self.shares, 1.0), (0.0, *self.mass, 1.0)))

    def __str__(self) -> str:
        lines = [f"{self.entries:.1f} entries a row; {self.for_half:.1f} hold half of its mass", "entries kept   mass kept"]
        return "\n".join(
            [*lines, *(f"{share:>12.0%}   {mass:>9.1%}" for share, mass in zip(self.shares, self.mass, strict=True))]
        )


def concentration(vectors: SparseVectors, shares: Sequence[float] = SHARES) -> Concentration:
    """The curve of `vectors`.

    Raises:
        VectorError: no row has an entry, or the shares do not rise within 0 .. 1.
    """
    asked = np.asarray(shares, np.float64)
    if not len(asked) or (np.diff(asked) <= 0).any() or not (asked[0] > 0 and asked[-1] <= 1):
        raise VectorError(f"shares must rise, above 0 and up to 1; given: {tuple(shares)}.")
    rows = int((np.diff(vectors.starts) > 0).sum())
    if not rows:
        raise VectorError("no vector has an entry: there is no mass to look at.")
    mass, half = _curve(vectors.starts, vectors.values, asked)
    return Concentration(tuple(float(s) for s in asked), mass / rows, len(vectors.values) / rows, half / rows)


@njit(cache=True)
def _curve(starts, values, shares):
    """Sums over rows: mass at each share, and entries for half of it."""
    mass, halves = np.zeros(len(shares)), 0
    for row in range(len(starts) - 1):
        count = starts[row + 1] - starts[row]
        if count == 0:
            continue
        held = np.cumsum(np.sort(values[starts[row] : starts[row + 1]].astype(np.float64))[::-1])
        for at in range(len(shares)):
            exact = shares[at] * count
            whole = min(int(exact), count)
            found = held[whole - 1] if whole > 0 else 0.0
            if whole < count:
                next_one = held[whole] - (held[whole - 1] if whole > 0 else 0.0)
                found += (exact - whole) * next_one
            mass[at] += found / held[-1]
        halves += np.searchsorted(held, held[-1] / 2) + 1
    return mass, halves
