"""Layers that are alike for a kernel."""

from collections.abc import Container
from typing import NamedTuple, Self

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.kernels.forms import FORMS


class Kind(NamedTuple):
    """What a product's time depends on."""

    shape: tuple[int, int]
    dtype: torch.dtype
    device: torch.device
    density: float
    """Share of the weights that are not zero, to the nearest 5%."""
    filled: float
    """Share of the strips of 16 rows by one column that hold any weight, to the nearest 20%."""
    fits: tuple[str, ...]
    """Forms that can hold the matrix, on its device, among those that were allowed."""

    @classmethod
    def of(cls, matrix: Float[Tensor, "out in"], allowed: Container[str] | None = None) -> Self:
        kept = matrix != 0
        strips = torch.nn.functional.pad(kept, (0, 0, 0, -len(matrix) % 16)).unflatten(0, (-1, 16)).any(1)
        return cls(
            (matrix.shape[0], matrix.shape[1]),
            matrix.dtype,
            matrix.device,
            _rounded(kept, 20),
            _rounded(strips, 5),
            tuple(n for n, form in FORMS.items() if (allowed is None or n in allowed) and not form.refusal(matrix)),
        )


def _rounded(kept: Tensor, steps: int) -> float:
    return round(steps * float(kept.float().mean())) / steps if kept.numel() else 0.0
