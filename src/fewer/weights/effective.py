"""Effective sparsity: weights that lie on no path from an input to an output do nothing, though they are counted as active."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewer.errors import SelectionError


class Effective(NamedTuple):
    """What of a chain of masks can carry a signal."""

    size: int
    """All weights."""
    active: int
    """Weights whose mask is on."""
    effective: int
    """Active weights on a path from an input to an output."""
    constants: int
    """Hidden units that no input reaches but that send a constant to an output, through a bias of their own or before
    them. Their weights are not effective: the constant can be folded into the next bias."""

    @property
    def nominal_density(self) -> float:
        return self.active / self.size

    @property
    def effective_density(self) -> float:
        return self.effective / self.size


def effective(
    masks: Sequence[Bool[Tensor, "out in"]], biases: Sequence[Float[Tensor, " out"] | None] | None = None
) -> Effective:
    """Counts the active weights between units that are alive forwards and backwards.

    f_0 = 1, f_l = any active weight from an alive unit; b_L = 1, b_(l-1) = any active weight to an alive unit;
    effective = sum over l of sum(m_l * outer(b_l, f_(l-1))).

    Args:
        masks: of the layers of a chain, in order.
        biases: of the same layers, None for a layer without; they matter for `constants` alone.

    Raises:
        SelectionError: no masks, or ones whose sides do not meet.
    """
    if not masks or any(a.shape[0] != b.shape[1] for a, b in pairwise(masks)):
        raise SelectionError(f"masks of shapes {[tuple(m.shape) for m in masks]} are no chain of [out, in] layers.")
    forward = [torch.ones(masks[0].shape[1], dtype=torch.bool, device=masks[0].device)]
    for mask in masks:
        forward.append((mask & forward[-1]).any(1))
    backward = [torch.ones(masks[-1].shape[0], dtype=torch.bool, device=masks[0].device)]
    for mask in reversed(masks):
        backward.insert(0, (mask & backward[0][:, None]).any(0))
    live = sum(int((m & b[:, None] & f).sum()) for m, f, b in zip(masks, forward, backward[1:], strict=False))
    return Effective(
        size=sum(mask.numel() for mask in masks),
        active=sum(int(mask.sum()) for mask in masks),
        effective=live,
        constants=_constants(masks, biases or [None] * len(masks), forward, backward),
    )


def _constants(masks: Sequence[Tensor], biases: Sequence[Tensor | None], forward: list[Tensor], backward: list[Tensor]) -> int:
    found = 0
    sent = torch.zeros_like(forward[0])
    for place, mask in enumerate(masks[:-1]):
        bias = biases[place]
        has = (mask & sent).any(1) if bias is None else (mask & sent).any(1) | (bias != 0)
        sent = has & ~forward[place + 1]
        found += int((sent & backward[place + 1]).sum())
    return found
