"""The dense side: unit vectors of a sentence encoder, each text encoded once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
from jaxtyping import Float32

from fewer.data.models import Name, load_sentence_encoder
from fewer.data.sentence_encoder import SentenceEncoder
from fewer.retrieval.encoders.cache import VectorCache, remembered
from fewer.retrieval.encoders.fingerprint import model_hash


@dataclass(frozen=True, eq=False)
class Dense:
    """all-MiniLM-L6-v2, or any other encoder by mean pooling; its inner products are cosines."""

    name: str
    encoder: SentenceEncoder
    cached: bool = True
    """Vectors are kept in the cache folder."""
    _caches: dict[str, VectorCache] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def load(cls, name: Name = "minilm", cached: bool = True, models: Name | None = None) -> Self:
        """By name, folder or hub id. Raises ModelError as `load_sentence_encoder`."""
        return cls(str(name), load_sentence_encoder(name, models=models), cached)

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self.encoder.model.config.hidden_size)

    def encode(self, texts: Sequence[str], queries: bool = False) -> Float32[np.ndarray, "texts width"]:
        """One row a text, in order, of length 1; questions and texts are encoded alike."""
        if not self.cached:
            return self._made(list(texts))

        def make(missing: list[str]) -> Iterable[np.ndarray]:
            return self._made(missing).view(np.uint32)

        cache = remembered(self._caches, self.name, self.fingerprint)
        rows = cache.rows(texts, make, f"encoding with {self.name}")
        return np.stack(rows).view(np.float32) if rows else np.zeros((0, self.width), np.float32)

    def _made(self, texts: list[str]) -> Float32[np.ndarray, "texts width"]:
        return np.ascontiguousarray(self.encoder.encode(texts).numpy(), dtype=np.float32)

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights, the vocabulary and the tokens that are read."""
        return f"{model_hash(self.encoder.model.state_dict(), self.encoder.tokenizer.get_vocab())}-{self.encoder.longest}"
