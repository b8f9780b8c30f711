"""Other ways to choose as many columns as anchor attention does, in every group of every head: what it is compared with."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.anchor import Anchor
from fewer.attention.inputs import Inputs
from fewer.attention.keys import KeySet
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention, Stage
from fewer.core import register
from fewer.core.topk import keep_largest


@dataclass(frozen=True)
class Columns(SparseAttention):
    """The counts of `of`, and its first and nearest keys; the columns by a score of one's own."""

    stage: ClassVar[Stage] = "prefill"

    of: Anchor = field(default_factory=Anchor)

    def suits(self, inputs: Inputs) -> bool:
        return self.of.suits(inputs)

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch heads groups"]:
        found = self.of.measured(inputs, Memory())
        return self.of.counts(found, inputs)

    def key_set(self, chosen: Tensor, inputs: Inputs) -> KeySet:
        return self.of.key_set(chosen, inputs)

    def _far(self, inputs: Inputs, group: int) -> tuple[int, int, int]:
        """First query of a group, one past its last, and the first column that is near."""
        start = group * self.of.group
        return start, min(start + self.of.group, inputs.queries), start - self.of.block

    def _by_group(self, inputs: Inputs) -> Float[Tensor, "batch heads groups keys"]:
        groups = -(-inputs.queries // self.of.group)
        return torch.full((inputs.batch, inputs.heads, groups, inputs.keys), -torch.inf, device=inputs.q.device)


@register
@dataclass(frozen=True)
class OracleColumns(Columns):
    """The columns with most of the group's true attention: the best that stripes can keep of its mass."""

    slug: ClassVar[str] = "oracle-columns"

    def measured(self, inputs: Inputs, memory: Memory) -> Tensor:
        found = self._by_group(inputs)
        for group in range(found.shape[2]):
            start, stop, near = self._far(inputs, group)
            if near > self.of.block:
                mass = inputs.logits(start, stop).softmax(-1).sum(2)
                found[:, :, group, self.of.block : near] = mass[..., self.of.block : near]
        return found


@register
@dataclass(frozen=True)
class BlockColumns(Columns):
    """Whole blocks of columns by the product of mean query and mean key, as block-sparse attention chooses them."""

    slug: ClassVar[str] = "block-columns"

    def measured(self, inputs: Inputs, memory: Memory) -> Tensor:
        found, size = self._by_group(inputs), self.of.block
        blocks = torch.arange(inputs.keys, device=inputs.k.device) // size
        means = torch.stack([part.mean(2) for part in inputs.k.split(size, 2)], 2).repeat_interleave(inputs.share, 1)
        for group in range(found.shape[2]):
            start, stop, near = self._far(inputs, group)
            if near > size:
                pooled = torch.stack([part.mean(2) for part in inputs.q[:, :, start:stop].split(size, 2)], 2)
                scores = (pooled @ means.transpose(2, 3)).amax(2)[:, :, blocks]
                found[:, :, group, size:near] = scores[..., size:near]
        return found


@register
@dataclass(frozen=True)
class PlainColumns(Columns):
    """By the same products as anchor attention, but against one threshold for all heads and groups instead of the anchors.

    As many columns as it keeps, over all heads and groups of a layer together.
    """

    slug: ClassVar[str] = "plain-columns"

    def measured(self, inputs: Inputs, memory: Memory) -> Tensor:
        found = self._by_group(inputs)
        for group in range(found.shape[2]):
            start, stop, near = self._far(inputs, group)
            if near > self.of.block:
                parts = inputs.q[:, :, start:stop].split(self.of.block, 2)
                logits = inputs.products(torch.stack([part.mean(2) for part in parts], 2)).amax(2)
                found[:, :, group, self.of.block : near] = logits[..., self.of.block : near]
        return found

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch heads groups"]:
        total = int(super().counts(measured, inputs).sum())
        ranked = measured.clamp_min(torch.finfo(measured.dtype).min).reshape(1, -1)
        return keep_largest(ranked, total).view(measured.shape).sum(-1)
