"""What training cost and which positions it ever used: the run log behind lessons 3, 4 and 5."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from fewer.weights.training.moment import Masks, active, packed, unpacked

BYTES = 4  # float32


@dataclass
class Record:
    """Filled in while a network trains, over all its phases.

    Multiply-adds (MACs) are those that the masks leave, not those that a masked dense product runs. A step costs three
    per active weight and use (forward, gradient of the input, gradient of the weight); where the gradient of inactive
    weights is read, the last is one per weight, active or not. Bytes are those of active float32 weights, other
    parameters, one momentum for each, and one bit a weight for the mask, if there is one.
    """

    size: int
    """Maskable weights of the dense network."""
    macs: int = 0
    """Multiply-adds of all training steps so far."""
    peak_active: int = 0
    """Most weights that were active at any time."""
    peak_bytes: int = 0
    """Most bytes that parameters, optimiser state and masks took at any time."""
    churns: list[float] = field(default_factory=list)
    """For each renewal of a sparse mask, |M_t xor M_(t-1)| / (2 A_t)."""
    ever: Masks = field(default_factory=dict)
    """Positions that were ever active."""
    always: Masks = field(default_factory=dict)
    """Positions that were active all the time."""

    def state_dict(self) -> dict[str, Any]:
        """As tensors (positions at one bit an entry) and plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: packed(v) if isinstance(v, dict) else list(v) if isinstance(v, list) else v for n, v in values.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> "Record":
        """Out of `state_dict`, over these weights. Raises as `unpacked` does."""
        values: dict[str, Any] = {n: unpacked(v, weights) if isinstance(v, dict) else v for n, v in state.items()}
        return cls(**values)

    def hold(self, masks: Masks, others: int = 0) -> None:
        """From now on these masks are in force, beside `others` parameters that are never masked."""
        now = active(masks)
        dense = now == sum(mask.numel() for mask in masks.values())
        self.peak_active = max(self.peak_active, now)
        bits = 0 if dense else sum(mask.numel() for mask in masks.values())
        self.peak_bytes = max(self.peak_bytes, 2 * BYTES * (now + others) + math.ceil(bits / 8))
        self.ever = {name: mask | self.ever[name] if name in self.ever else mask.clone() for name, mask in masks.items()}
        self.always = {name: mask & self.always[name] if name in self.always else mask.clone() for name, mask in masks.items()}

    def renew(self, before: Masks, after: Masks) -> None:
        """Note by how much a mask moved. The cut from a dense network is no churn: that mask was not chosen before."""
        kept = active(after)
        if kept and active(before) < self.size:
            moved = sum(int(torch.logical_xor(before[name], after[name]).sum()) for name in after)
            self.churns.append(moved / (2 * kept))

    @property
    def peak_density(self) -> float:
        """Most weights at any time as a share of the dense network's: 1 means that a dense one was needed."""
        return self.peak_active / self.size

    @property
    def r_itop(self) -> float:
        """Share of the dense network's positions that were ever active (in-time over-parameterisation)."""
        return active(self.ever) / self.size

    @property
    def doc(self) -> float:
        """Share of the dense network's positions that were active all the time: the core that nothing dropped."""
        return active(self.always) / self.size

    @property
    def churn(self) -> float:
        """Mean churn of a renewal; 0 where nothing was renewed."""
        return sum(self.churns) / len(self.churns) if self.churns else 0.0


def step_macs(masks: Masks, uses: dict[str, int], dense_gradient: bool = False) -> int:
    """Multiply-adds of one training step for one sample.

    Args:
        uses: how often one sample uses each weight of a layer; 1 where it is not named (linear layers), output
            positions for a convolution.
        dense_gradient: is the gradient of inactive weights computed in this step?
    """
    total = 0
    for name, mask in masks.items():
        kept = int(mask.sum())
        total += uses.get(name, 1) * (2 * kept + (mask.numel() if dense_gradient else kept))
    return total
