"""SPLADE (Formal et al. 2021, arXiv 2107.05720; max pooling: arXiv 2109.10086): logits as term weights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewer.data.models import Name, load_masked_lm
from fewer.errors import VectorError
from fewer.retrieval.encoders.fingerprint import model_hash
from fewer.retrieval.vectors import SparseVectors

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKENS = 1024
"""Tokens that go through the model at once."""
LOGITS = 1_000_000
"""Logits that are held at once; their maximum over tokens is taken before the next are made."""


@dataclass(frozen=True, eq=False)
class Splade:
    """The weight of term t in a text: max over its tokens i of log(1 + relu(logit_it)).

    The model belongs to the encoder: its output layer is taken out and applied in chunks, since logits of a whole batch
    would be tokens x vocabulary.
    """

    name: str
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    decoder: torch.nn.Linear
    longest: int = 256
    """Tokens of a text that are read."""
    terms: int | None = None
    """A text keeps its heaviest terms, at most so many; all when not given."""

    @classmethod
    def load(cls, name: Name = "splade-tiny", longest: int = 256, terms: int | None = None, models: Name | None = None) -> Self:
        """By name, folder or hub id of a masked language model.

        Raises:
            ModelError: it cannot be had, or is of another kind.
            VectorError: `longest` or `terms` out of range.
        """
        if longest < 3 or (terms is not None and terms < 1):
            raise VectorError(f"longest must be at least 3 tokens and terms at least 1; given: {longest}, {terms}.")
        model, tokenizer = load_masked_lm(name, models=models)
        decoder = model.get_output_embeddings()
        model.set_output_embeddings(_Passing())
        return cls(str(name), model, tokenizer, decoder, longest, terms)

    @property
    def dimension(self) -> int:
        """The model's vocabulary."""
        return self.decoder.out_features

    def term(self, component: int) -> str:
        """A piece of a word as the tokenizer writes it: pieces inside a word begin with ##."""
        return str(self.tokenizer.convert_ids_to_tokens(component))

    def fingerprint(self, queries: bool) -> str:
        """Of the weights, the vocabulary, `longest` and `terms`; questions and texts are encoded alike."""
        return f"{self._model_hash}-{self.longest}-{self.terms or 'all'}"

    @cached_property
    def _model_hash(self) -> str:
        return model_hash({**self.model.state_dict(), "decoder": self.decoder.weight}, self.tokenizer.get_vocab())

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], queries: bool = False) -> SparseVectors:
        """One row a text, in order; texts of like length go through the model together."""
        parts: list[SparseVectors] = []
        order: list[int] = []
        for rows, ids in self._batches(texts):
            parts.append(self._sparse(self._weights(ids)))
            order += rows
        if not parts:
            return SparseVectors.from_rows([], self.dimension)
        return SparseVectors.concatenate(parts)[np.argsort(order)]

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[list[int]]]]:
        """Row numbers and token ids of about `TOKENS` tokens, padding included."""
        tokens = self.tokenizer(list(texts), truncation=True, max_length=self.longest)["input_ids"] if texts else []
        order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * len(tokens[order[stop]]) <= TOKENS:
                stop += 1
            yield order[start:stop], [tokens[row] for row in order[start:stop]]
            start = stop

    def _weights(self, ids: list[list[int]]) -> Float[Tensor, "texts terms"]:
        width = max(map(len, ids))
        read = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
        padded = torch.tensor([row + [0] * (width - len(row)) for row in ids])
        states = self.model(input_ids=padded, attention_mask=read).logits
        # Padding takes the first token's state: the maximum over tokens then needs no mask.
        states = torch.where(read.bool().unsqueeze(-1), states, states[:, :1])
        chunk = max(1, LOGITS // (states.shape[0] * width))
        best = [
            torch.nn.functional.linear(states, weight, bias).amax(1)
            for weight, bias in zip(self.decoder.weight.split(chunk), self._bias.split(chunk), strict=True)
        ]
        return torch.log1p(torch.cat(best, dim=-1).relu_())

    @property
    def _bias(self) -> Tensor:
        return self.decoder.bias if self.decoder.bias is not None else torch.zeros(self.dimension)

    def _sparse(self, weights: Float[Tensor, "texts terms"]) -> SparseVectors:
        if self.terms is not None and self.terms < self.dimension:
            kept = weights.topk(self.terms, dim=-1, sorted=False)
            weights = torch.zeros_like(weights).scatter_(-1, kept.indices, kept.values)
        rows, components = weights.nonzero(as_tuple=True)
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows.numpy(), minlength=len(weights)))])
        return SparseVectors(starts, components.numpy(), weights[rows, components].numpy(), self.dimension)


class _Passing(torch.nn.Identity):
    """Stands where the output layer was; transformers reads its bias."""

    bias = None
