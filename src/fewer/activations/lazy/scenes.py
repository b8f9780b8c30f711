"""Scenes of four real digits: how many are even? Attention alone mixes the digits; telling them apart is left to the MLPs."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.core import stream

CLASSES = 5
"""None to all four."""


def scenes(
    digits: Float[Tensor, "digits channels side side"], values: Int[Tensor, " digits"], count: int, name: str
) -> tuple[Float[Tensor, "count channels twice twice"], Int[Tensor, " count"]]:
    """Digits drawn with replacement, two by two, each mirrored left to right or not, by chance; labels count the even ones.

    Args:
        name: of the part; other names draw other scenes.
    """
    draws = stream(0, "scenes", name)
    drawn = torch.randint(len(values), (count, 4), generator=draws)
    mirrored = torch.rand(count, 4, generator=draws) < 0.5
    found = digits[drawn]
    found = torch.where(mirrored[:, :, None, None, None], found.flip(-1), found)
    rows = [torch.cat([found[:, left], found[:, left + 1]], -1) for left in (0, 2)]
    return torch.cat(rows, -2), (values[drawn] % 2 == 0).sum(1)
