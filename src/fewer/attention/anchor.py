"""AnchorAttention (Zhang et al. 2025, arXiv 2505.23520): a group of queries reads the key columns that come near its anchor.

Exact attention over the first keys and the nearest ones gives each query an anchor; a column elsewhere is kept for a whole
group of queries if its product with the mean query of some block of the group is within theta nats of the block's mean anchor.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.executors import attend
from fewer.attention.inputs import Inputs
from fewer.attention.keys import KeySet, Stripes, stripe_cells
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention, Stage
from fewer.core import register
from fewer.errors import AttentionError
from fewer.kernels.attention_prefill import anchor, stripes_refusal

DENSITIES = "densities"
"""A dict under this key of a model's memory is given, by layer, the share of cells that was kept."""


@register
@dataclass(frozen=True)
class Anchor(SparseAttention):
    """A group is block * step queries; prompts of up to one group have dense attention.

    Published: block=128, step=16, theta=12, anchor="max". The defaults here are for models of some hundred million weights and
    prompts of some thousand tokens.
    """

    slug: ClassVar[str] = "anchor-attention"
    stage: ClassVar[Stage] = "prefill"

    theta: float | tuple[float, ...] = 8.0
    """Nats below the anchor at which a column is still kept (larger = denser); one for all heads, or one for each.
    Infinity keeps every column, minus infinity only the first keys and the nearest."""
    block: int = 64
    """Queries whose mean is compared, and first and nearest keys that are always kept."""
    step: int = 4
    """Blocks in a group."""
    anchor: Literal["max", "sum"] = "sum"
    """Of a query's logits over its first and nearest keys: the largest (the paper), or their log-sum-exp (ours: sparser)."""

    def __post_init__(self) -> None:
        if self.block < 1 or self.step < 1:
            raise AttentionError(f"block and step must be at least 1, not {self.block} and {self.step}.")
        if self.anchor not in ("max", "sum"):
            raise AttentionError(f'anchor is "max" or "sum", not {self.anchor!r}.')
        if any(math.isnan(theta) for theta in self._thetas):
            raise AttentionError("theta must be a number, not NaN.")
        if isinstance(self.theta, list):  # as JSON gives it
            object.__setattr__(self, "theta", tuple(self.theta))

    @property
    def _thetas(self) -> tuple[float, ...]:
        return tuple(self.theta) if isinstance(self.theta, tuple | list) else (self.theta,)

    @property
    def group(self) -> int:
        return self.block * self.step

    def suits(self, inputs: Inputs) -> bool:
        return inputs.queries > self.group

    def attend(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch heads queries dim"]:
        """In one pass where the kernels can: what gives the anchors is the beginning of the result."""
        if self.kind != "method" or not self.of_stage(inputs):
            return super().attend(inputs, memory)
        inputs.checked()
        if stripes_refusal(inputs.q, inputs.k, inputs.v, self.group):
            keys = self.choose(inputs, memory)
            if DENSITIES in memory:
                memory[DENSITIES][inputs.layer] = keys.density(inputs)
            return attend(inputs, keys)
        thetas, sums = self._by_head(inputs), self.anchor == "sum"
        out, kept = anchor(inputs.q, inputs.k, inputs.v, inputs.scale, thetas, self.block, self.step, sums)
        if DENSITIES in memory:
            cells = stripe_cells(kept, inputs, self.group, self.block, self.block)
            memory[DENSITIES][inputs.layer] = float(cells.double().mean()) / inputs.cells
        return out

    def measured(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch heads groups keys"]:
        """By how many nats each column exceeds the anchor, in the best block of the group (eq. of section 3.2)."""
        starts = range(0, inputs.queries, self.group)
        shape = (inputs.batch, inputs.heads, len(starts), inputs.keys)
        found = torch.full(shape, -torch.inf, device=inputs.q.device, dtype=torch.float32)
        for number, start in enumerate(starts):
            far = start - self.block  # columns before this one are far
            if far <= self.block:
                continue
            stop = min(start + self.group, inputs.queries)
            pooled = block_means(inputs.q[:, :, start:stop], self.block)
            anchors = block_means(self._anchors(inputs, start, stop), self.block)
            above = inputs.products(pooled)[..., self.block : far] - anchors[..., None]
            found[:, :, number, self.block : far] = above.amax(2)
        return found

    def _anchors(self, inputs: Inputs, start: int, stop: int) -> Float[Tensor, "batch heads queries"]:
        logits = inputs.logits(start, stop)
        near = torch.cat([logits[..., : self.block], logits[..., start - self.block : stop]], -1)
        return near.amax(-1) if self.anchor == "max" else near.logsumexp(-1)

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch heads groups"]:
        near = measured >= -self._by_head(inputs).to(measured.device)[:, None, None]
        return (near & (measured > -torch.inf)).sum(-1)

    def _by_head(self, inputs: Inputs) -> Float[Tensor, " heads"]:
        thetas = torch.tensor(self._thetas)
        if len(thetas) not in (1, inputs.heads):
            raise AttentionError(f"theta has {len(thetas)} values for {inputs.heads} heads; give one, or one for each head.")
        return thetas.expand(inputs.heads)

    def key_set(self, chosen: Tensor, inputs: Inputs) -> KeySet:
        return Stripes(chosen, self.group, init=self.block, local=self.block)


def block_means(values: Float[Tensor, "batch heads rows *dim"], block: int) -> Float[Tensor, "batch heads blocks *dim"]:
    """Means of blocks of rows; the last block may be shorter."""
    return torch.stack([part.mean(2) for part in values.split(block, 2)], 2)
