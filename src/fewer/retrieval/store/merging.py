"""Which segments become one, and how."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from fewer.retrieval.store.batch import Batch
from fewer.retrieval.store.documents import Documents
from fewer.retrieval.store.segment import Part
from fewer.retrieval.vectors import SparseVectors

SEALED_AT = 1024
"""So many fresh documents become a segment."""
_FANOUT = 4
"""So many segments of about one size become one: a document is copied once for each power of this that the store holds."""


def worth_merging(parts: Sequence[Part]) -> list[Part]:
    """Segments to merge now: one that is mostly deleted, or those of the smallest size that has too many; else none."""
    for part in parts:
        if 2 * len(part) < len(part.segment):
            return [part]
    tiers: dict[int, list[Part]] = {}
    for part in parts:
        tiers.setdefault(max(len(part) // SEALED_AT, 1).bit_length() // 2, []).append(part)
    return next((tiers[tier] for tier in sorted(tiers) if len(tiers[tier]) >= _FANOUT), [])


def merged(parts: Sequence[Part], rows: Sequence[Int64[np.ndarray, " taken"]]) -> Batch:
    """The documents of those rows of each part, in order."""
    documents = [part.segment.documents.take(taken) for part, taken in zip(parts, rows, strict=True)]
    vectors = [part.segment.index.vectors()[taken] for part, taken in zip(parts, rows, strict=True)]
    return Batch(Documents.concatenate(documents), SparseVectors.concatenate(vectors))
