"""What came out of a comparison: tensors by layer and head, and the plain values that are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.attention.comparing.calls import Call
from fewer.attention.comparing.maps import Map
from fewer.attention.fidelity import fidelity
from fewer.attention.method import SparseAttention


class Kept(NamedTuple):
    """What one method keeps of dense attention, in one layer or (stacked, layers first) in all."""

    density: Float[Tensor, "*layers"]
    """Cells kept, of those that dense attention has."""
    recall: Float[Tensor, "*layers heads"]
    """Share of dense attention's weight on kept keys, mean over queries."""
    error: Float[Tensor, "*layers heads"]
    """Norm of the change of the outputs, relative to that of the dense outputs."""

    @classmethod
    def of(cls, calls: Sequence[Call], every: int) -> "Kept":
        """One layer: means over its calls. Of longer calls some queries stand for all, as in `fidelity`."""
        found = [fidelity(call.inputs, call.keys, every) for call in calls]
        density = torch.tensor([one.density for one in found]).mean()
        return cls(
            density, torch.stack([one.recall for one in found]).mean(0), torch.stack([one.error for one in found]).mean(0)
        )

    @classmethod
    def stacked(cls, layers: Sequence["Kept"]) -> "Kept":
        return cls(*(torch.stack(parts) for parts in zip(*layers, strict=True)))

    def to_dict(self) -> dict[str, Any]:
        """Means, and all values by layer."""
        return {
            **{name: float(values.mean()) for name, values in self._asdict().items()},
            "by_layer": {name: _rounded(values) for name, values in self._asdict().items()},
        }


class Row(NamedTuple):
    """A method and its random twin, which keeps as many keys of every head."""

    name: str
    method: SparseAttention
    own: Kept
    twin: Kept


@dataclass(frozen=True, eq=False)
class Compared:
    """All methods on one text."""

    tokens: int
    steps: int
    """Tokens at the end of the text that methods of decoding read, one by one."""
    every: int
    """In prompts 32 queries were looked at of every 32 times so many; densities are of all."""
    layers: tuple[int, ...]
    """Those with attention to all keys."""
    rows: tuple[Row, ...]
    maps: tuple[Map, ...]

    @property
    def heads(self) -> int:
        return self.rows[0].own.recall.shape[1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the maps."""
        return {
            "tokens": self.tokens,
            "steps": self.steps,
            "every": self.every,
            "layers": list(self.layers),
            "heads": self.heads,
            "methods": [
                {
                    "name": row.name,
                    "stage": row.method.stage,
                    "parameters": row.method.configuration(),
                    **row.own.to_dict(),
                    "random": row.twin.to_dict(),
                }
                for row in self.rows
            ],
        }


def _rounded(values: Tensor) -> Any:
    return torch.round(values.double(), decimals=4).tolist()
