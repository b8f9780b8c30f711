"""Encoders by name, as an index of texts keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fewer.errors import FewerError, ModelError
from fewer.retrieval.encoders.encoder import Encoder
from fewer.retrieval.texts.spans import Span, pieces
from fewer.retrieval.texts.terms import Terms
from fewer.retrieval.texts.words import Words
from fewer.retrieval.vectors import SparseVectors

if TYPE_CHECKING:
    from fewer.retrieval.encoders.dense import Dense
    from fewer.retrieval.encoders.sparse_encoder import SentenceTransformersSparse
    from fewer.retrieval.encoders.splade import Splade


class TextEncoder(Encoder, Protocol):
    """An encoder that can show its terms in a text."""

    def spans(self, text: str) -> list[Span]:
        """Where terms stand in a text."""


@dataclass(frozen=True, eq=False)
class Model:
    """SPLADE, or a SparseEncoder of sentence-transformers; `cached`: texts go through it once a machine."""

    model: "Splade | SentenceTransformersSparse"
    cached: bool = False

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def dimension(self) -> int:
        """The model's vocabulary."""
        return self.model.dimension

    def encode(self, texts: Sequence[str], queries: bool = False) -> SparseVectors:
        """As the model."""
        if not self.cached:
            return self.model.encode(texts, queries)
        from fewer.retrieval.encoders.cache import Cached

        return Cached(self.model).encode(texts, queries)

    def term(self, component: int) -> str:
        """A piece of a word."""
        return self.model.term(component)

    def fingerprint(self, queries: bool) -> str:
        """The model's."""
        return self.model.fingerprint(queries)

    def spans(self, text: str) -> list[Span]:
        """Its pieces, where they stand."""
        return pieces(getattr(self.model, "tokenizer", None) or self.model.model.tokenizer, text)


def sparse_model(name: str, cached: bool = False) -> Model:
    """A SPLADE model by name, folder or hub id, or a SparseEncoder's folder. ModelError names what needs no model."""
    from fewer.retrieval.encoders.sparse_encoder import SentenceTransformersSparse
    from fewer.retrieval.encoders.splade import Splade

    try:
        of = SentenceTransformersSparse if (Path(name) / "modules.json").is_file() else Splade
        return Model(of.load(name), cached)
    except (FewerError, OSError) as error:
        raise ModelError(f"the encoder {name} cannot be had: {error} Or use --encoder bm25, which needs no model.") from error


def opened(name: str, folder: Path) -> TextEncoder:
    """The encoder of the index in `folder`. Raises IndexFileError or ModelError when it cannot be had."""
    if name == "bm25":
        return Words.open(folder)
    return Terms.open(folder) if name == "terms" else sparse_model(name)


def dense_model(name: str, cached: bool = False) -> "Dense":
    """A sentence encoder by name, folder or hub id. Raises ModelError, which says how to do without."""
    from fewer.retrieval.encoders.dense import Dense

    try:
        return Dense.load(name, cached)
    except (FewerError, OSError) as error:
        raise ModelError(f"the dense encoder {name} cannot be had: {error} Or index with --no-dense.") from error
