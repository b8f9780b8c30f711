"""The nearest keys and the first few (StreamingLLM, Xiao et al. 2023, arXiv 2309.17453): the baseline that looks at nothing."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.families.family import Family, When, in_phase
from fewer.attention.inputs import Inputs
from fewer.attention.keys import KeySet, VerticalSlash
from fewer.attention.memory import Memory
from fewer.core import register
from fewer.errors import AttentionError


@register
@dataclass(frozen=True)
class LocalAttention(Family):
    """Each query reads the `window` nearest keys, its own among them, and the first `sinks`.

    Its random twin reads keys at as many distances drawn at random.
    """

    slug: ClassVar[str] = "local-attention"

    window: int = 1020
    sinks: int = 4
    when: When = "always"
    """In which calls; dense in the others."""

    def __post_init__(self) -> None:
        if self.window < 1 or self.sinks < 0:
            raise AttentionError(f"window must be at least 1 and sinks at least 0, not {self.window} and {self.sinks}.")

    def of_stage(self, inputs: Inputs) -> bool:
        return in_phase(self.when, inputs) and inputs.keys > self.window + self.sinks

    def measured(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch heads distances"]:
        """Minus the distance; a query's own key is kept anyway."""
        distances = torch.arange(inputs.keys, dtype=torch.float32, device=inputs.q.device)
        return torch.where(distances == 0, -torch.inf, -distances).expand(inputs.batch, inputs.heads, -1)

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch heads"]:
        return torch.full(measured.shape[:-1], self.window - 1)

    def key_set(self, chosen: Tensor, inputs: Inputs) -> KeySet:
        at = torch.arange(inputs.keys, device=chosen.device)
        return VerticalSlash((at < self.sinks).expand_as(chosen), chosen | (at == 0))

    def with_share(self, share: float, keys: int) -> Self:
        return replace(self, window=max(1, round(share * keys)))

    def scoring_flops(self, inputs: Inputs) -> float:
        return 0.0
