"""The vertical-slash rule of `minference`, written anew: its package has CUDA sources alone, which no CPU builds.

By its prefill kernel: the last 64 queries' weights are summed over columns and diagonals; the first 30 columns and the nearest
100 diagonals always count as best; a block of 64 queries then reads whole blocks of 64 keys wherever a diagonal enters it, and
single columns between them. Sizes below 30 columns and 50 diagonals are raised to those.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fewer.attention.inputs import Inputs
from fewer.attention.keys import KeySet

BLOCK, LAST, SINKS, NEAREST = 64, 64, 30, 100


@dataclass(frozen=True, eq=False)
class RoundedLines(KeySet):
    """Columns, and for each block of queries the keys of all blocks that a diagonal enters."""

    columns: Tensor
    """[batch, heads, keys]"""
    entered: Tensor
    """[batch, heads, blocks, keys]"""

    def rows(self, inputs: Inputs, start: int, stop: int) -> Tensor:
        return self.entered[:, :, torch.arange(start, stop) // BLOCK] | self.columns[:, :, None]


def chosen(inputs: Inputs, vertical: int, slash: int) -> tuple[Tensor, Tensor]:
    """Columns [batch, heads, vertical] and distances [batch, heads, slash] that the rule takes."""
    n = inputs.keys
    vertical, slash = min(n, max(vertical, 30)), min(n - LAST + 1, max(slash, 50))
    weights = inputs.logits(n - LAST).float().softmax(-1)
    received = weights.sum(2)
    received[..., :SINKS] = torch.inf
    last = torch.arange(n - LAST, n)
    distance = torch.arange(n - LAST + 1)
    along = torch.stack([weights[:, :, row, last[row] - distance] for row in range(LAST)]).sum(0)
    along[..., :NEAREST] = torch.inf
    return received.topk(vertical).indices, along.topk(slash).indices


def key_set(inputs: Inputs, vertical: int, slash: int) -> RoundedLines:
    """What its kernel reads for these sizes."""
    columns, distances = chosen(inputs, vertical, slash)
    marked = torch.zeros(inputs.batch, inputs.heads, inputs.keys, dtype=torch.bool).scatter_(2, columns, True)
    blocks = -(-inputs.keys // BLOCK)
    entered = np.zeros((inputs.batch, inputs.heads, blocks, blocks * BLOCK + BLOCK), bool)
    for s in range(inputs.batch):
        for h in range(inputs.heads):
            far_first = np.sort(distances[s, h].numpy())[::-1]
            for block in range(blocks):
                for start, stop in ranges(far_first, (block + 1) * BLOCK):
                    entered[s, h, block, start:stop] = True
    return RoundedLines(marked, torch.from_numpy(entered[..., : inputs.keys]))


def ranges(far_first: np.ndarray, end: int) -> list[tuple[int, int]]:
    """Runs of keys, in blocks of 64 from wherever the first diagonal enters, of the block of queries that ends at `end`."""
    stops = np.maximum(end - far_first[far_first < end], BLOCK).tolist()
    found, (start, stop) = [], (stops[0] - BLOCK, stops[0])
    for reach in stops[1:]:
        if reach > stop + BLOCK:
            found.append((start, stop))
            start, stop = reach - BLOCK, reach
        elif reach > stop:
            stop += BLOCK
    return [*found, (start, stop)]
