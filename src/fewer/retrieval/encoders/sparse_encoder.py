"""Any SparseEncoder of sentence-transformers, by folder or hub id."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fewer.data.quiet import quiet
from fewer.errors import MissingExtraError, ModelError
from fewer.retrieval.encoders.fingerprint import model_hash
from fewer.retrieval.vectors import SparseVectors

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder


@dataclass(frozen=True, eq=False)
class SentenceTransformersSparse:
    """What the model's own `encode_query` and `encode_document` make; weights of 0 or less are left out."""

    name: str
    model: "SparseEncoder"
    dimension: int
    """The model's vocabulary."""

    @classmethod
    def load(cls, name: str | os.PathLike[str]) -> Self:
        """A folder or a hub id.

        Raises:
            MissingExtraError: sentence-transformers is not installed.
            ModelError: the model cannot be loaded, or makes no vectors over a vocabulary.
        """
        try:
            from sentence_transformers import SparseEncoder
        except ImportError:
            raise MissingExtraError(
                'a SparseEncoder needs sentence-transformers, which is not installed: pip install "fewer[search]".'
            ) from None
        with quiet():
            try:
                model = SparseEncoder(os.fspath(name), trust_remote_code=False)
                dimension = model.encode_document([""]).shape[1]  # before the first text the model cannot tell
            except Exception as error:  # it raises whatever a configuration or the network led to
                reason = f"{type(error).__name__}: {error}"
                raise ModelError(f"{os.fspath(name)} is no SparseEncoder that can be had ({reason}).") from error
        return cls(os.fspath(name), model, dimension)

    def term(self, component: int) -> str:
        """A piece of a word as the tokenizer writes it."""
        return str(self.model.tokenizer.convert_ids_to_tokens(component))

    def fingerprint(self, queries: bool) -> str:
        """Of the weights and the vocabulary; questions apart, since a model may encode them in another way."""
        return f"{self._model_hash}-{self.model.max_seq_length}-{'query' if queries else 'document'}"

    @cached_property
    def _model_hash(self) -> str:
        return model_hash(self.model.state_dict(), self.model.tokenizer.get_vocab())

    def encode(self, texts: Sequence[str], queries: bool = False) -> SparseVectors:
        """One row a text, in order."""
        if not texts:
            return SparseVectors.from_rows([], self.dimension)
        call: Any = self.model.encode_query if queries else self.model.encode_document
        matrix = call(list(texts), convert_to_tensor=True, convert_to_sparse_tensor=True, show_progress_bar=False)
        matrix = matrix.cpu().coalesce()
        rows, components = matrix.indices().numpy()
        values = matrix.values().float().numpy()
        kept = values > 0
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=len(texts)))])
        return SparseVectors(starts, components[kept], values[kept], self.dimension)
