"""Tasks for the small networks of bytes: a piece of text and then that piece again, and running text."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from fewer.attention.frontier.sample import Sample, running


def echo(tokens: Int[Tensor, " bytes"], length: int, rng: np.random.Generator) -> Sample:
    """Judged is the second copy."""
    return running(_piece(tokens, length // 2, rng).repeat(2), length // 2)


def plain(tokens: Int[Tensor, " bytes"], length: int, rng: np.random.Generator) -> Sample:
    """Judged is the second half."""
    return running(_piece(tokens, length, rng), length // 2)


TASKS: dict[str, Callable[[Tensor, int, np.random.Generator], Sample]] = {"echo": echo, "plain": plain}


def _piece(tokens: Tensor, length: int, rng: np.random.Generator) -> torch.Tensor:
    start = int(rng.integers(len(tokens) - length + 1))
    return tokens[start : start + length]
