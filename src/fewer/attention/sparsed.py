"""SparseD (Wang et al. 2025, arXiv 2509.24014): one pattern of blocks for each head, found at one denoising step and reused.

A masked-diffusion language model reads the whole sequence at each of its steps. The early steps stay dense; at the last of them
every layer ranks key blocks by their mean attention weight, and all later steps read only the best of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewer.attention.denoising import Denoising
from fewer.attention.executors import attend
from fewer.attention.inputs import Inputs
from fewer.attention.keys import ROWS, Blocks, in_blocks
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention, Stage
from fewer.core import register
from fewer.core.topk import keep_largest
from fewer.errors import AttentionError


class Pattern(NamedTuple):
    """What a layer keeps of one generation."""

    keys: Blocks
    density: float
    """Cells kept, as a share of all."""
    inputs: tuple[int, ...]
    """Shape of the queries that it was made of."""
    last: Denoising
    """The step at which it was made, or read last."""


class Spent(NamedTuple):
    """What a generation cost, as shares of the products that dense attention makes."""

    density: float
    """Of the sparse steps: blocks kept, in cells."""
    dense: float
    """Share of steps with dense attention."""
    total: float
    """Dense steps, sparse steps, and the one time that the pattern was made (half a dense step: it needs no values)."""


@register
@dataclass(frozen=True)
class SparseD(SparseAttention):
    """Top int(n * select) + 1 of n key blocks for every block of queries, in prompt and generation apart; dense until step
    int(steps * skip) + 1. Bidirectional models only.

    Published: block=128, select=0.3 for long sequences; block=32, select=0.5 for short ones.
    """

    slug: ClassVar[str] = "sparsed"
    stage: ClassVar[Stage] = "denoise"

    select: float = 0.3
    """Share of the key blocks; what is kept exceeds it, most on short sequences (`spent`)."""
    block: int = 128
    skip: float | None = 0.2
    """Share of the steps that stay dense, one more at least; None makes the pattern at step 0, so that no step is dense."""
    sides: Literal["isolated", "joint", "strict"] = "isolated"
    """How prompt and generation share the budget. "isolated" (the paper): generated blocks have a quota of their own, by
    softmax over generated keys alone; prompt blocks are what the best of all blocks leave. "joint": the best of all blocks.
    "strict": a quota for each side."""
    shared: bool = False
    """One pattern for all heads, by their mean."""

    def __post_init__(self) -> None:
        if not 0 <= self.select <= 1 or self.block < 1 or (self.skip is not None and not 0 <= self.skip < 1):
            raise AttentionError(
                f"select {self.select}, block {self.block}, skip {self.skip}: give a share from 0 to 1, at least 1 token, and "
                "a share from 0 to below 1 (or None: no dense step)."
            )
        if self.sides not in ("isolated", "joint", "strict"):
            raise AttentionError(f'sides is "isolated", "joint" or "strict", not {self.sides!r}.')

    def dense_steps(self, steps: int) -> int:
        """Steps with dense attention, of `steps`; at the last of them the pattern is made."""
        return 0 if self.skip is None else min(int(steps * self.skip) + 2, steps)

    def attend(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch heads queries dim"]:
        """Raises AttentionError where no step is known, or it does not follow upon the one before."""
        if not self.of_stage(inputs):
            return attend(inputs)
        now, mine = Denoising.of(memory), (self.slug, inputs.layer)
        dense = self.dense_steps(now.steps)
        if now.step == 0:
            memory.pop(mine, None)
        made_at = max(dense - 1, 0)
        if now.step == made_at:
            if mine in memory:
                raise AttentionError(_twice(inputs, now))
            keys = self.choose(inputs.checked(), memory)
            memory[mine] = Pattern(keys, _density(keys, inputs), tuple(inputs.q.shape), now)
        elif now.step > made_at:
            memory[mine] = self._still(memory.get(mine), inputs, now)
        return attend(inputs) if now.step < dense else attend(inputs, memory[mine].keys)

    def _still(self, pattern: Pattern | None, inputs: Inputs, now: Denoising) -> Pattern:
        """The pattern, if it is of the step before. Another prompt may have come in between."""
        if pattern is None:
            raise AttentionError(f"layer {inputs.layer} has no pattern at step {now.step}: begin a generation at step 0.")
        if pattern.last == now:
            raise AttentionError(_twice(inputs, now))
        if pattern.last != replace(now, step=now.step - 1) or pattern.inputs != tuple(inputs.q.shape):
            raise AttentionError(
                f"layer {inputs.layer}: step {now} with queries of shape {tuple(inputs.q.shape)} does not follow upon "
                f"{pattern.last} with {pattern.inputs}. Finish one generation before the next, and begin at step 0."
            )
        return pattern._replace(last=now)

    def choose(self, inputs: Inputs, memory: Memory) -> Blocks:
        """The pattern for these queries and keys."""
        border = _border(inputs, memory, self.block)
        measured = self.measured(inputs, memory)
        kept = self.picks(measured, border)
        if self.kind != "method":
            kept = self.as_many(kept, self.score(inputs, memory), border)
        return Blocks(kept.expand(-1, inputs.heads, -1, -1), self.block)

    def measured(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch heads 2 query_blocks key_blocks"]:
        """Block means of exact softmax rows: over all keys, and over those of generated blocks alone (0 elsewhere)."""
        if inputs.queries != inputs.keys:
            raise AttentionError(
                f"{inputs.queries} queries and {inputs.keys} keys: the pattern is that of a whole sequence. Turn caches off."
            )
        first = _border(inputs, memory, self.block) * self.block
        at_once = max(1, ROWS // self.block) * self.block
        found = []
        for start in range(0, inputs.queries, at_once):
            logits = inputs.products(inputs.q[:, :, start : start + at_once]).float()
            generated = torch.zeros_like(logits)
            generated[..., first:] = logits[..., first:].softmax(-1)
            weights = torch.stack([logits.softmax(-1), generated], 2)
            found.append(_means(_means(weights, self.block).mT, self.block).mT)
        means = torch.cat(found, -2)
        return means.mean(1, keepdim=True) if self.shared else means

    def picks(
        self, measured: Float[Tensor, "batch heads 2 query_blocks key_blocks"], border: int
    ) -> Bool[Tensor, "batch heads query_blocks key_blocks"]:
        """Which blocks are kept, of those before `border` (the prompt) and those from it on."""
        over_all, generated = measured.unbind(2)
        blocks = over_all.shape[-1]
        best = _top(over_all, self.quota(blocks))
        if self.sides == "joint":
            return best
        prompt = best[..., :border] if self.sides == "isolated" else _top(over_all[..., :border], self.quota(border))
        return torch.cat([prompt, _top(generated[..., border:], self.quota(blocks - border))], -1)

    def quota(self, blocks: int) -> int:
        """Blocks that are kept of so many."""
        return min(int(blocks * self.select) + 1, blocks)

    def as_many(self, kept: Bool[Tensor, "..."], scores: Tensor, border: int) -> Bool[Tensor, "..."]:
        """As many blocks of each row and side as `kept` has, by other scores: the random twin."""
        ends = (0, kept.shape[-1]) if self.sides == "joint" else (0, border, kept.shape[-1])
        sides = [_top(scores[:, :, 0, :, a:b], kept[..., a:b].sum(-1)) for a, b in pairwise(ends)]
        return torch.cat(sides, -1)

    def spent(self, memory: Memory) -> Spent:
        """Of the generation that `memory` saw last, mean over layers. All ones where it was too short to leave dense steps."""
        patterns: Sequence[Pattern] = [found for found in memory.values() if isinstance(found, Pattern)]
        if not patterns:
            return Spent(1.0, 1.0, 1.0)
        steps = patterns[0].last.steps
        density = sum(pattern.density for pattern in patterns) / len(patterns)
        dense = self.dense_steps(steps) / steps
        return Spent(density, dense, dense + (1 - dense) * density + 0.5 / steps)


def _border(inputs: Inputs, memory: Memory, block: int) -> int:
    """The first block that begins among generated tokens; the last block at the latest."""
    prompt = inputs.keys - Denoising.of(memory).generated
    return min(-(-max(prompt, 0) // block), -(-inputs.keys // block) - 1)


def _means(values: Float[Tensor, "... cells"], block: int) -> Float[Tensor, "... blocks"]:
    """Of the cells that are there: the last block may have fewer (the authors divide by all)."""
    cells = in_blocks(torch.ones(values.shape[-1], device=values.device), block, 0).sum(-1)
    return in_blocks(values, block, 0).sum(-1) / cells


def _top(scores: Float[Tensor, "... blocks"], counts: int | Tensor) -> Bool[Tensor, "... blocks"]:
    rows = scores.reshape(-1, scores.shape[-1]) if scores.numel() else scores.new_zeros(scores.shape[:-1].numel(), 0)
    return keep_largest(rows, counts.flatten() if isinstance(counts, Tensor) else counts).view(scores.shape)


def _density(keys: Blocks, inputs: Inputs) -> float:
    cells = in_blocks(torch.ones(inputs.keys, device=keys.blocks.device), keys.size, 0).sum(-1)
    return float((cells @ keys.blocks.float().mean((0, 1)) @ cells) / inputs.keys**2)


def _twice(inputs: Inputs, now: Denoising) -> str:
    return (
        f"layer {inputs.layer} was asked twice in step {now.step}, and a pattern belongs to one call. Give sequences of one "
        "length in one batch, others one by one; one model cannot serve two generations at once."
    )
