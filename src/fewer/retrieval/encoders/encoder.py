"""What every encoder of sparse vectors does."""

from collections.abc import Sequence
from typing import Protocol

from fewer.retrieval.vectors import SparseVectors


class Encoder(Protocol):
    """Turns texts into non-negative sparse vectors whose components are terms."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def dimension(self) -> int:
        """Components lie in 0 .. dimension - 1."""

    def encode(self, texts: Sequence[str], queries: bool = False) -> SparseVectors:
        """One row a text, in order; `queries`: as questions are encoded, where that differs. A row may be empty."""

    def term(self, component: int) -> str:
        """The word or piece of a word that a component stands for."""

    def fingerprint(self, queries: bool) -> str:
        """A hash of all that decides the vector of a text: weights, vocabulary, options. Equal ones make equal vectors."""
