"""Vectors with the names that files keep: of documents and of terms."""

from collections.abc import Sequence
from dataclasses import dataclass

from fewer.errors import VectorError
from fewer.retrieval.vectors import SparseVectors


@dataclass(frozen=True, eq=False)
class NamedVectors:
    """Documents as sparse vectors over named terms.

    Raises:
        VectorError: another number of ids, terms or texts than the vectors have, or an id or term that stands twice.
    """

    vectors: SparseVectors
    ids: Sequence[str]
    """One a row."""
    terms: Sequence[str]
    """One a component."""
    texts: Sequence[str] = ()
    """One a row, or none."""

    def __post_init__(self) -> None:
        for name, given, needed in (("id", self.ids, len(self.vectors)), ("term", self.terms, self.vectors.dimension)):
            if len(given) != needed:
                raise VectorError(f"the vectors need {needed} {name}s; given: {len(given)}.")
            if len(set(given)) != needed:
                twice = next(value for at, value in enumerate(sorted(given)[1:]) if value == sorted(given)[at])
                raise VectorError(f"every {name} stands once; twice: {twice!r}.")
        if len(self.texts) not in (0, len(self.vectors)):
            raise VectorError(f"the vectors need {len(self.vectors)} texts, or none; given: {len(self.texts)}.")
