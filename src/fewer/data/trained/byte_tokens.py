"""Bytes as tokens: a vocabulary of 256 that needs no file."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


def encode(text: str) -> Int[Tensor, " bytes"]:
    """UTF-8 bytes as token ids in [0, 256)."""
    return torch.from_numpy(np.frombuffer(text.encode(), np.uint8).astype(np.int64))


def plain_batch(
    tokens: Int[Tensor, " bytes"], count: int, length: int, generator: torch.Generator
) -> Int[Tensor, "count length"]:
    """Windows drawn from all over `tokens`."""
    starts = torch.randint(len(tokens) - length + 1, (count, 1), generator=generator)
    return tokens[starts + torch.arange(length)]
