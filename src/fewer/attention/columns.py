"""Other ways to choose as many columns as anchor attention does, in every group of every head: what it is compared with."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.anchor import Anchor, block_means
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

    def measured(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch heads groups keys"]:
        groups = range(0, inputs.queries, self.of.group)
        found = torch.full((inputs.batch, inputs.heads, len(groups), inputs.keys), -torch.inf, device=inputs.q.device)
        for number, start in enumerate(groups):
            far = start - self.of.block  # columns before this one are far
            if far > self.of.block:
                scores = self.of_group(inputs, start, min(start + self.of.group, inputs.queries))
                found[:, :, number, self.of.block : far] = scores[..., self.of.block : far]
        return found

    def of_group(self, inputs: Inputs, start: int, stop: int) -> Float[Tensor, "batch heads keys"]:
        """Scores of all columns for the group of the queries from `start` up to `stop`."""
        raise NotImplementedError


@register
@dataclass(frozen=True)
class OracleColumns(Columns):
    """The columns with most of the group's true attention: the best that stripes can keep of its mass."""

    slug: ClassVar[str] = "oracle-columns"

    def of_group(self, inputs: Inputs, start: int, stop: int) -> Tensor:
        return inputs.logits(start, stop).softmax(-1).sum(2)


@register
@dataclass(frozen=True)
class BlockColumns(Columns):
    """Whole blocks of columns by the product of mean query and mean key, as block-sparse attention chooses them."""

    slug: ClassVar[str] = "block-columns"

    def of_group(self, inputs: Inputs, start: int, stop: int) -> Tensor:
        size = self.of.block
        means = block_means(inputs.k, size).repeat_interleave(inputs.share, 1)
        scores = (block_means(inputs.q[:, :, start:stop], size) @ means.transpose(2, 3)).amax(2)
        return scores[..., torch.arange(inputs.keys, device=inputs.k.device) // size]


@register
@dataclass(frozen=True)
class PlainColumns(Columns):
    """By the same products as anchor attention, but against one threshold for all heads and groups instead of the anchors.

    As many columns as it keeps, over all heads and groups of a layer together.
    """

    slug: ClassVar[str] = "plain-columns"

    def of_group(self, inputs: Inputs, start: int, stop: int) -> Tensor:
        return inputs.products(block_means(inputs.q[:, :, start:stop], self.of.block)).amax(2)

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch heads groups"]:
        total = int(super().counts(measured, inputs).sum())
        ranked = measured.clamp_min(torch.finfo(measured.dtype).min).reshape(1, -1)
        return keep_largest(ranked, total).view(measured.shape).sum(-1)
