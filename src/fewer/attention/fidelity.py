"""How much of dense attention a key set keeps: the mass of its weights, and the error of the outputs, head by head."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.attention.inputs import Inputs
from fewer.attention.keys import ROWS, KeySet

SAMPLE = 32
"""Queries that are looked at in a row, of every `every` rows of so many."""


class Fidelity(NamedTuple):
    """What a key set keeps."""

    recall: Float[Tensor, " heads"]
    """Share of dense attention's weight that lies on kept keys: mean over queries and sequences."""
    error: Float[Tensor, " heads"]
    """Norm of the change of the outputs, relative to that of the dense outputs."""
    density: float
    """Cells kept, of those that dense attention has: in all rows, or in those from `start` on."""


def fidelity(inputs: Inputs, keys: KeySet, every: int = 1, start: int = 0) -> Fidelity:
    """Measure a key set against dense attention, in torch.

    Args:
        every: look at SAMPLE queries, then leave out every - 1 times as many, but for the density.
        start: queries before this one are left out.
    """
    seen, mass = 0, torch.zeros(inputs.heads, dtype=torch.float64)
    change, size = torch.zeros_like(mass), torch.zeros_like(mass)
    values = inputs.v.repeat_interleave(inputs.share, 1)
    for first in range(start, inputs.queries, SAMPLE * every):
        last = min(first + SAMPLE, inputs.queries)
        logits = inputs.logits(first, last)
        kept = keys.mask(inputs, first, last)
        weights = logits.softmax(-1)
        share = (weights * kept).sum(-1)
        dense = weights @ values
        sparse = (weights * kept) @ values / share.clamp_min(1e-30)[..., None]
        mass += share.sum((0, 2))
        change += (sparse - dense).square().sum((0, 2, 3))
        size += dense.square().sum((0, 2, 3))
        seen += inputs.batch * (last - first)
    return Fidelity((mass / seen).float(), (change / size.clamp_min(1e-30)).sqrt().float(), density_from(inputs, keys, start))


def density_from(inputs: Inputs, keys: KeySet, start: int) -> float:
    """Cells kept, as a share of those that dense attention has, in the rows of the queries from `start` on."""
    if start == 0:
        return keys.density(inputs)
    kept, dense = 0, 0
    for first in range(start, inputs.queries, ROWS):
        last = min(first + ROWS, inputs.queries)
        kept += int(keys.mask(inputs, first, last).sum())
        dense += int(inputs.allowed(first, last).sum())
    return kept / (dense * inputs.batch * inputs.heads)
