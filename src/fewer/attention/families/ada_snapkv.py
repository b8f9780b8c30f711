"""Ada-SnapKV (Feng et al. 2024, arXiv 2407.11550): SnapKV whose capacity is shared out among the heads of a layer."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.families.snapkv import SnapKV
from fewer.attention.inputs import Inputs
from fewer.core import register
from fewer.core.topk import keep_largest
from fewer.errors import AttentionError


@register
@dataclass(frozen=True)
class AdaSnapKV(SnapKV):
    """Each KV head takes `floor` of the capacity first; the rest of capacity x heads goes to the best (head, key) pairs.

    Importance is the largest weight over the query heads of a KV head and over the last queries. Caches become ragged.
    """

    slug: ClassVar[str] = "ada-snapkv"

    floor: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.floor <= 1:
            raise AttentionError(
                f"floor is the share of its capacity that each head has for itself, in [0, 1]; given: {self.floor}."
            )

    def importance(self, weights: Float[Tensor, "batch kv_heads share window keys"]) -> Float[Tensor, "batch kv_heads keys"]:
        return weights.amax((2, 3))

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch kv_heads"]:
        always = self.local + self.prefix
        own = max(int(self.floor * self.capacity), always) - always
        rows = measured.reshape(-1, inputs.keys)
        candidates = rows > -torch.inf
        scores = rows.masked_fill(~candidates, torch.finfo(rows.dtype).min)
        first = keep_largest(scores, own) & candidates
        open_ = scores.masked_fill(first, torch.finfo(rows.dtype).min).view(inputs.batch, -1)
        shared = (self.capacity - always - own) * inputs.kv_heads
        best = keep_largest(open_, min(shared, open_.shape[1])).view_as(rows) & candidates & ~first
        return (first | best).sum(-1).view(measured.shape[:-1])
