"""A method of sparse attention: an estimator scores keys, a budget and a pattern choose, an executor attends."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fewer.attention.executors import ALL, attend
from fewer.attention.inputs import Inputs
from fewer.attention.keys import KeySet
from fewer.attention.memory import Memory
from fewer.core import Method
from fewer.core.topk import keep_largest

Stage = Literal["prefill", "decode", "denoise"]
LOWEST = -3e38  # ranks below every score: what is no candidate


@dataclass(frozen=True)
class SparseAttention(Method):
    """A subclass says `measured` (a score for each candidate key, block or diagonal), `counts` (how many of each row are kept)
    and `key_set` (what the chosen ones mean). Its random twin keeps as many of each row, at random.

    Calls that are not of its `stage` have dense attention, as do those that `suits` refuses (too short a prompt).
    """

    stage: ClassVar[Stage] = "prefill"

    def check(self, layers: int) -> None:
        """Raise AttentionError for parameters that name layers which a model with so many lacks."""

    def suits(self, inputs: Inputs) -> bool:
        """Is there anything to leave out?"""
        return True

    def measured(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "... candidates"]:
        """Larger = keep; -inf for what is no candidate of its row."""
        raise NotImplementedError

    def counts(self, measured: Float[Tensor, "... candidates"], inputs: Inputs) -> Int[Tensor, "..."]:
        """How many candidates each row keeps; more than a row has are cut to those."""
        raise NotImplementedError

    def key_set(self, chosen: Bool[Tensor, "... candidates"], inputs: Inputs) -> KeySet:
        """The keys that the chosen candidates stand for, those that are always kept among them."""
        raise NotImplementedError

    def score(self, inputs: Inputs, memory: Memory) -> Tensor:
        return self.measured(inputs, memory)

    def choose(self, inputs: Inputs, memory: Memory) -> KeySet:
        """Score, then select."""
        measured = self.measured(inputs, memory)
        candidates = measured > -torch.inf
        counts = torch.minimum(self.counts(measured, inputs).to(measured.device), candidates.sum(-1))
        ranked = measured if self.kind == "method" else self.score(inputs, memory)
        ranked = ranked.masked_fill(~candidates, LOWEST)
        rows = ranked.reshape(-1, ranked.shape[-1])
        return self.key_set(keep_largest(rows, counts.flatten()).view(ranked.shape), inputs)

    def of_stage(self, inputs: Inputs) -> bool:
        if self.stage == "denoise":
            return not inputs.causal
        return inputs.causal and (inputs.prefill if self.stage == "prefill" else inputs.decode) and self.suits(inputs)

    def attended(self, inputs: Inputs, memory: Memory) -> KeySet:
        """The keys that this call reads: everything where it is not of the stage."""
        return self.choose(inputs.checked(), memory) if self.of_stage(inputs) else ALL

    def attend(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch heads queries dim"]:
        """The layer's output: exact softmax over the keys that are kept."""
        return attend(inputs, self.attended(inputs, memory))
