"""Labels and inputs that are wrong in a known measure."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.core import stream
from fewer.errors import DataError


def flipped(labels: Int[Tensor, " samples"], share: float, classes: int, seed: int) -> Int[Tensor, " samples"]:
    """Labels of which a share was drawn anew, uniformly over all classes: 1 / classes of those stay what they were.

    Raises DataError for a share outside [0, 1] or fewer than 2 classes.
    """
    if not 0 <= share <= 1 or classes < 2:
        raise DataError(f"a share of {share} of labels of {classes} classes: give one from 0 to 1, and at least 2 classes.")
    draws = stream(seed, "flipped labels")
    where = torch.randperm(len(labels), generator=draws)[: round(share * len(labels))]
    changed = labels.clone()
    changed[where] = torch.randint(classes, (len(where),), generator=draws)
    return changed


def noisy(inputs: Float[Tensor, "samples ..."], deviation: float, seed: int) -> Float[Tensor, "samples ..."]:
    """Inputs plus Gaussian noise of a standard deviation, the same for a seed."""
    return inputs + deviation * torch.randn(inputs.shape, generator=stream(seed, "input noise"))
