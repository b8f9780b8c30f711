"""What hidden units do, counted over many tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.errors import MeasureError

THRESHOLDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
TOP = (0.01, 0.05, 0.1, 0.25, 0.5)
"""Shares of the units, the largest of each token first."""
ENERGY = (0.9, 0.99)


@dataclass(frozen=True, eq=False)
class Activity:
    """How the hidden units of one layer behave. A unit fires for a token when it is not exactly zero."""

    tokens: int
    frequency: Float[Tensor, " units"]
    """Share of the tokens for which each unit fires."""
    positive: float
    """Share of entries above zero."""
    below: dict[float, float]
    """Threshold -> share of entries of at most that size; at 0.0 the exact zeros."""
    energy_below: dict[float, float]
    """Threshold -> the share that those entries have in the sum of all squares."""
    top_energy: dict[float, float]
    """Share of a token's units, largest first -> their share in its sum of squares; mean over tokens."""
    needed: dict[float, float]
    """Share of a token's sum of squares -> share of its units that hold it, largest first; mean over tokens."""
    top_frequency: Float[Tensor, " units"]
    """Share of the tokens for which each unit is among the largest tenth: frequency, where no unit is ever zero."""

    @property
    def units(self) -> int:
        return len(self.frequency)

    @property
    def density(self) -> float:
        """Share of entries that fire, mean over tokens; the paper's "percentage of nonzeros"."""
        return float(self.frequency.mean())

    @property
    def dead(self) -> int:
        """Units that fire for no token."""
        return int((self.frequency == 0).sum())

    @property
    def idle(self) -> int:
        """Units that are among the largest tenth for no token."""
        return int((self.top_frequency == 0).sum())

    def to_dict(self) -> dict[str, Any]:
        """Plain values; of the frequencies five quantiles."""
        quantiles = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.double)
        return {
            "tokens": self.tokens,
            "units": self.units,
            "density": self.density,
            "positive": self.positive,
            "dead": self.dead,
            "idle": self.idle,
            "below": self.below,
            "energy_below": self.energy_below,
            "top_energy": self.top_energy,
            "needed": self.needed,
            "frequency_quantiles": self.frequency.quantile(quantiles).tolist(),
            "top_frequency_quantiles": self.top_frequency.quantile(quantiles).tolist(),
        }


class Tally:
    """Sums over tokens, from which an `Activity` is made; it holds a few numbers a unit, never the activations."""

    def __init__(self, units: int, thresholds: Sequence[float]) -> None:
        self.tokens, self.full = 0, 0
        """All tokens, and those that have a unit that fires."""
        self.thresholds = torch.tensor([0.0, *thresholds])
        self.fired = torch.zeros(units, dtype=torch.long)
        self.topped = torch.zeros(units, dtype=torch.long)
        self.positive, self.energy = 0, 0.0
        self.below = torch.zeros(len(self.thresholds), dtype=torch.long)
        self.energy_below = torch.zeros(len(self.thresholds), dtype=torch.double)
        self.top_energy = torch.zeros(len(TOP), dtype=torch.double)
        self.needed = torch.zeros(len(ENERGY), dtype=torch.double)

    def add(self, hidden: Float[Tensor, "*tokens units"], where: str) -> None:
        """Raises MeasureError when an activation is not finite."""
        h = hidden.detach().reshape(-1, hidden.shape[-1]).float().cpu()
        squares = h.square()
        if not bool(squares.sum().isfinite()):
            raise MeasureError(f"activations of {where} are not finite: look for overflow in the model's weights or dtype.")
        size, units = h.abs(), h.shape[1]
        self.tokens += len(h)
        self.fired += (h != 0).sum(0)
        self.positive += int((h > 0).sum())
        self.energy += float(squares.sum(dtype=torch.double))
        for at, threshold in enumerate(self.thresholds):
            under = size <= threshold
            self.below[at] += under.sum()
            self.energy_below[at] += (squares * under).sum(dtype=torch.double)
        largest, order = squares.sort(descending=True)
        self.topped += torch.bincount(order[:, : -(-units // 10)].flatten(), minlength=units)
        held = largest.double().cumsum(1)
        held = held[held[:, -1] > 0]  # a token for which nothing fires has no energy to share out
        self.full += len(held)
        held = held / held[:, -1:]
        for at, share in enumerate(TOP):
            self.top_energy[at] += held[:, max(1, round(share * units)) - 1].sum()
        for at, share in enumerate(ENERGY):
            self.needed[at] += ((held < share).sum(1) + 1).sum() / units

    def activity(self) -> Activity:
        """Raises MeasureError when nothing was added."""
        if not self.tokens:
            raise MeasureError("no token reached the layer: nothing was measured.")
        entries = self.tokens * len(self.fired)
        full, energy = max(1, self.full), self.energy or 1.0
        thresholds = [round(t, 9) for t in self.thresholds.double().tolist()]
        return Activity(
            tokens=self.tokens,
            frequency=self.fired.double() / self.tokens,
            positive=self.positive / entries,
            below=dict(zip(thresholds, (self.below / entries).tolist(), strict=True)),
            energy_below=dict(zip(thresholds, (self.energy_below / energy).tolist(), strict=True)),
            top_energy=dict(zip(TOP, (self.top_energy / full).tolist(), strict=True)),
            needed=dict(zip(ENERGY, (self.needed / full).tolist(), strict=True)),
            top_frequency=self.topped.double() / self.tokens,
        )
