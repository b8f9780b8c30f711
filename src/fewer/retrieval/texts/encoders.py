"""Encoders by name, as an index of texts keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float32

from fewer.errors import FewerError, ModelError
from fewer.retrieval.encoders.encoder import Encoder
from fewer.retrieval.texts.spans import Span, pieces
from fewer.retrieval.texts.words import Words
from fewer.retrieval.vectors import SparseVectors

if TYPE_CHECKING:
    from fewer.data.sentence_encoder import SentenceEncoder
    from fewer.retrieval.encoders.splade import Splade


class TextEncoder(Encoder, Protocol):
    """An encoder that can show its terms in a text."""

    def spans(self, text: str) -> list[Span]:
        """Where terms stand in a text."""


@dataclass(frozen=True, eq=False)
class Model:
    """SPLADE, or another masked language model; `cached`: texts go through it once a machine."""

    splade: "Splade"
    cached: bool = False

    @property
    def name(self) -> str:
        """The model's."""
        return self.splade.name

    @property
    def dimension(self) -> int:
        """The model's vocabulary."""
        return self.splade.dimension

    def encode(self, texts: Sequence[str], queries: bool = False) -> SparseVectors:
        """As the model."""
        if not self.cached:
            return self.splade.encode(texts, queries)
        from fewer.retrieval.encoders.cache import Cached

        return Cached(self.splade).encode(texts, queries)

    def term(self, component: int) -> str:
        """A piece of a word."""
        return self.splade.term(component)

    def fingerprint(self, queries: bool) -> str:
        """The model's."""
        return self.splade.fingerprint(queries)

    def spans(self, text: str) -> list[Span]:
        """Its pieces, where they stand."""
        return pieces(self.splade.tokenizer, text)


def sparse_model(name: str, cached: bool = False) -> Model:
    """A SPLADE model by name, folder or hub id. Raises ModelError, which names the encoder that needs no model."""
    from fewer.retrieval.encoders.splade import Splade

    try:
        return Model(Splade.load(name), cached)
    except (FewerError, OSError) as error:
        raise ModelError(f"the encoder {name} cannot be had: {error} Or use --encoder bm25, which needs no model.") from error


def opened(name: str, folder: Path) -> TextEncoder:
    """The encoder of the index in `folder`. Raises IndexFileError or ModelError when it cannot be had."""
    return Words.open(folder) if name == "bm25" else sparse_model(name)


def dense_model(name: str) -> "SentenceEncoder":
    """A sentence encoder by name, folder or hub id. Raises ModelError, which says how to do without."""
    from fewer.data.models import load_sentence_encoder

    try:
        return load_sentence_encoder(name)
    except (FewerError, OSError) as error:
        raise ModelError(f"the dense encoder {name} cannot be had: {error} Or index with --no-dense.") from error


def dense_rows(model: "SentenceEncoder", texts: Sequence[str]) -> Float32[np.ndarray, "texts width"]:
    """Unit vectors."""
    return np.ascontiguousarray(model.encode(list(texts)).numpy(), dtype=np.float32)
