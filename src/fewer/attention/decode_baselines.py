"""What keys chosen for other layers are held against: the best that each layer could choose, and the nearest ones."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fewer.attention.executors import ALL
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Cells, Chosen, KeySet
from fewer.attention.memory import Memory
from fewer.attention.tidal import Tidal
from fewer.core import register
from fewer.errors import AttentionError


@register
@dataclass(frozen=True)
class OracleKeys(Tidal):
    """Every layer from the first of `select` on attends to the keys that it would choose itself. It reads all keys to do so: a
    bound for quality, and never faster.
    """

    slug: ClassVar[str] = "oracle-keys"

    def attended(self, inputs: Inputs, memory: Memory) -> KeySet:
        return self.choose(inputs.checked(), memory) if self.sparse(inputs) else ALL

    def attend(self, inputs: Inputs, memory: Memory) -> Tensor:
        return self.attend_to(self.attended(inputs, memory), inputs, memory)


@register
@dataclass(frozen=True)
class SinksAndWindow(Tidal):
    """The first keys and the last ones, in every layer from the first of `select` on (StreamingLLM's pattern, Xiao et al. 2023,
    arXiv 2309.17453, with the positions as they are). Its random twin reads as many keys at random, the newest among them.
    """

    slug: ClassVar[str] = "sinks-and-window"

    sinks: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.sinks < self.keys:
            raise AttentionError(f"sinks must be fewer than the {self.keys} keys, and at least 0; given: {self.sinks}.")

    def attended(self, inputs: Inputs, memory: Memory) -> KeySet:
        if not self.sparse(inputs):
            return ALL
        return self.window(inputs) if self.kind == "method" else self.choose(inputs.checked(), memory)

    def attend(self, inputs: Inputs, memory: Memory) -> Tensor:
        return self.attend_to(self.attended(inputs, memory), inputs, memory)

    def window(self, inputs: Inputs) -> KeySet:
        at = torch.arange(inputs.keys, device=inputs.q.device)
        position = torch.arange(inputs.queries, device=inputs.q.device)[:, None] + inputs.before
        kept = (at < self.sinks) | ((at > position - (self.keys - self.sinks)) & (at <= position))
        if inputs.queries == 1:
            return Chosen.of(kept[None].expand(inputs.batch, -1, -1))
        return Cells(kept.expand(inputs.batch, inputs.heads, -1, -1))
