"""The oracle of tokens: for each query the keys that really get the most attention."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.families.family import Family, When, in_phase
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Cells, Chosen, KeySet
from fewer.attention.memory import Memory
from fewer.core import register
from fewer.errors import AttentionError


@register
@dataclass(frozen=True)
class OracleTokens(Family):
    """Each query of each head keeps the `tokens` keys of the largest weights, its own always. All logits are held at once."""

    slug: ClassVar[str] = "oracle-tokens"

    tokens: int = 1024
    when: When = "always"

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise AttentionError(f"tokens must be at least 1 (a query's own key), not {self.tokens}.")

    def of_stage(self, inputs: Inputs) -> bool:
        return in_phase(self.when, inputs) and inputs.keys > self.tokens

    def measured(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch heads queries keys"]:
        logits = inputs.logits().float()
        return logits.masked_fill(self._own(inputs), -torch.inf)

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch heads queries"]:
        return torch.full(measured.shape[:-1], self.tokens - 1)

    def key_set(self, chosen: Tensor, inputs: Inputs) -> KeySet:
        kept = chosen | self._own(inputs)
        return Chosen.of(kept[:, :, 0]) if inputs.queries == 1 else Cells(kept)

    def _own(self, inputs: Inputs) -> Tensor:
        own = torch.arange(inputs.queries, device=inputs.q.device) + inputs.before
        return torch.arange(inputs.keys, device=inputs.q.device) == own[:, None]

    def with_share(self, share: float, keys: int) -> Self:
        return replace(self, tokens=max(1, round(share * keys)))

    def scoring_flops(self, inputs: Inputs) -> float:
        return 2.0 * inputs.batch * inputs.heads * inputs.cells * inputs.dim
