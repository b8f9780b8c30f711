"""Key sets: which keys each query attends to. All of them say it as a mask; executors know the compact form of each."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad

from fewer.attention.inputs import Inputs

ROWS = 256
"""Queries whose masks are made at once: a mask of everything would not fit at 32,000 keys."""


class KeySet:
    """Which cells of the attention matrix are kept. Cells that dense attention does not have are never kept."""

    def rows(self, inputs: Inputs, start: int, stop: int) -> Bool[Tensor, "batch heads rows keys"]:
        """The mask of the queries from `start` up to `stop`, before what is not allowed is taken out."""
        raise NotImplementedError

    def mask(self, inputs: Inputs, start: int = 0, stop: int | None = None) -> Bool[Tensor, "batch heads rows keys"]:
        """True where a query (of those from `start` up to `stop`) attends to a key."""
        stop = inputs.queries if stop is None else stop
        return self.rows(inputs, start, stop) & inputs.allowed(start, stop)

    def pieces(self, inputs: Inputs) -> Iterator[tuple[int, int, Bool[Tensor, "batch heads rows keys"]]]:
        """(start, stop, mask) of `ROWS` queries at a time."""
        for start in range(0, inputs.queries, ROWS):
            stop = min(start + ROWS, inputs.queries)
            yield start, stop, self.mask(inputs, start, stop)

    def kept(self, inputs: Inputs) -> Int[Tensor, "batch heads"]:
        """Cells kept, of each head."""
        return sum((mask.sum((2, 3)) for _, _, mask in self.pieces(inputs)), torch.zeros((), dtype=torch.int64))

    def density(self, inputs: Inputs) -> float:
        """Cells kept, as a share of those that dense attention has."""
        return float(self.kept(inputs).double().mean()) / inputs.cells


@dataclass(frozen=True, eq=False)
class Everything(KeySet):
    """All keys: the dense twin."""

    def rows(self, inputs: Inputs, start: int, stop: int) -> Tensor:
        return torch.ones(inputs.batch, inputs.heads, stop - start, inputs.keys, dtype=torch.bool, device=inputs.q.device)


@dataclass(frozen=True, eq=False)
class Stripes(KeySet):
    """Whole key columns for every group of queries, beside the first keys and the nearest ones, which all of them have."""

    columns: Bool[Tensor, "batch heads groups keys"]
    group: int
    """Queries in a group; the last one may have fewer."""
    init: int
    """First keys that are always kept."""
    local: int
    """Keys before a group that are always kept, as its own are."""

    def rows(self, inputs: Inputs, start: int, stop: int) -> Tensor:
        group = torch.arange(start, stop, device=self.columns.device) // self.group
        at = torch.arange(inputs.keys, device=self.columns.device)
        near = at >= (group * self.group + inputs.before - self.local)[:, None]
        return self.columns[:, :, group] | near | (at < self.init)

    def kept(self, inputs: Inputs) -> Int[Tensor, "batch heads"]:
        if not inputs.causal:
            return super().kept(inputs)
        starts = torch.arange(self.columns.shape[2], device=self.columns.device) * self.group
        near = (starts + inputs.before - self.local).clamp_min(0)
        at = torch.arange(inputs.keys, device=self.columns.device)
        far = self.columns & (at >= self.init) & (at < near[:, None])
        return stripe_cells(far.sum(-1), inputs, self.group, self.init, self.local)


@dataclass(frozen=True, eq=False)
class Blocks(KeySet):
    """Blocks of queries by keys; the last of either may be shorter."""

    blocks: Bool[Tensor, "batch heads query_blocks key_blocks"]
    size: int

    def rows(self, inputs: Inputs, start: int, stop: int) -> Tensor:
        query = torch.arange(start, stop, device=self.blocks.device) // self.size
        key = torch.arange(inputs.keys, device=self.blocks.device) // self.size
        return self.blocks[:, :, query][..., key]


@dataclass(frozen=True, eq=False)
class VerticalSlash(KeySet):
    """Key columns, and diagonals: keys at fixed distances before each query."""

    columns: Bool[Tensor, "batch heads keys"]
    distances: Bool[Tensor, "batch heads keys"]
    """Entry d: is the key d places before the query kept?"""

    def rows(self, inputs: Inputs, start: int, stop: int) -> Tensor:
        position = torch.arange(start, stop, device=self.columns.device) + inputs.before
        distance = position[:, None] - torch.arange(inputs.keys, device=self.columns.device)
        slashes = self.distances[:, :, distance.clamp_min(0)] & (distance >= 0)
        return slashes | self.columns[:, :, None]


@dataclass(frozen=True, eq=False)
class Chosen(KeySet):
    """Single keys, the same for all queries of a call: what decoding gathers."""

    indices: Int[Tensor, "batch sets count"]
    """Ascending. One set for all heads, one for each KV head, or one for each head; shorter ones are filled up with -1."""

    def rows(self, inputs: Inputs, start: int, stop: int) -> Tensor:
        batch, sets, _ = self.indices.shape
        kept = torch.zeros(batch, sets, inputs.keys + 1, dtype=torch.bool, device=self.indices.device)
        kept.scatter_(2, self.indices % (inputs.keys + 1), True)  # -1 goes to the place behind the last key
        heads = kept[..., :-1].repeat_interleave(inputs.heads // sets, 1)
        return heads[:, :, None].expand(-1, -1, stop - start, -1)

    @classmethod
    def of(cls, kept: Bool[Tensor, "batch sets keys"]) -> "Chosen":
        """The set of a mask."""
        counts = kept.sum(-1)
        width = int(counts.max())
        order = torch.where(kept, torch.arange(kept.shape[-1], device=kept.device), kept.shape[-1]).sort(-1).values[..., :width]
        return cls(torch.where(order == kept.shape[-1], -1, order))


@dataclass(frozen=True, eq=False)
class Cells(KeySet):
    """Any mask: for oracles and tests, since nothing is skipped by it."""

    cells: Bool[Tensor, "batch heads queries keys"]

    def rows(self, inputs: Inputs, start: int, stop: int) -> Tensor:
        return self.cells[:, :, start:stop]


def stripe_cells(
    counts: Int[Tensor, "batch heads groups"], inputs: Inputs, group: int, init: int, local: int
) -> Int[Tensor, "batch heads"]:
    """Cells of causal `Stripes` with so many columns in each group beside those that are always kept."""
    starts = torch.arange(counts.shape[2], device=counts.device) * group
    rows = (inputs.queries - starts).clamp_max(group)
    near = (starts + inputs.before - local).clamp_min(0).repeat_interleave(rows)
    position = torch.arange(inputs.queries, device=counts.device) + inputs.before
    return (counts * rows).sum(-1) + (position + 1 - near + near.clamp_max(init)).sum()


def in_blocks(scores: Tensor, size: int, fill: float) -> Tensor:
    """The last axis cut into blocks of `size`, the last one filled up: [..., blocks, size]."""
    return pad(scores, (0, -scores.shape[-1] % size), value=fill).unflatten(-1, (-1, size))
