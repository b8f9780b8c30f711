"""Scores: one number for each candidate, larger means keep. A score knows neither pattern nor budget."""

import hashlib

import torch
from torch import Tensor

from fewer.errors import ScoreError


def checked(scores: Tensor, what: str = "scores") -> Tensor:
    """Return `scores` unchanged, or raise ScoreError when they cannot be ranked.

    NaN and infinity are errors here, never a choice: a NaN weight would be kept or dropped by accident.
    """
    if not isinstance(scores, Tensor):
        raise ScoreError(f"{what} must be a tensor, not {type(scores).__name__}.")
    if scores.dtype == torch.bool or scores.is_complex():
        raise ScoreError(f"{what} must be real numbers, not {scores.dtype}.")
    if scores.is_floating_point():
        # One pass without a temporary: a sum is finite unless a term is not, or it overflows; the count settles which.
        total = scores.sum()
        if not total.isfinite():
            bad = int((~scores.isfinite()).sum())
            if bad:
                raise ScoreError(
                    f"{what} hold {bad} values that are NaN or infinite, of {scores.numel()}. "
                    "Look for them in the weights or the calibration data; they cannot be ranked."
                )
    return scores


def stream(seed: int, *names: object) -> torch.Generator:
    """A random generator that depends on `seed` and `names` only, so that order of work and threads change nothing."""
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def noise(shape: tuple[int, ...] | torch.Size, seed: int, *names: object) -> Tensor:
    """Uniform scores in [0, 1): what every random twin ranks by. float32, on the CPU."""
    return torch.rand(tuple(shape), generator=stream(seed, *names))
