"""Detect: which pattern a mask really has, whatever it is said to have."""

from jaxtyping import Bool
from torch import Tensor

from fewer.errors import PatternError

GROUPS = ((1, 4), (2, 4), (4, 8))
BLOCKS = (32, 16, 8, 4, 2)


def detect(mask: Bool[Tensor, "out in"]) -> str:
    """The strictest pattern that the mask has, spelled as in `parse_pattern`, or "dense".

    In this order: "dense" (all kept); "1:4", "2:4", "4:8" (at most N of each M consecutive inputs); "neuron" (each row all
    kept or all dropped); "block:BxB" for the largest B of 32, 16, 8, 4, 2 whose tiles are all kept or all dropped; else
    "unstructured". Very sparse masks can have a pattern by chance: it is there all the same.

    Raises:
        PatternError: no matrix of bools, or an empty one.
    """
    if mask.ndim != 2 or str(mask.dtype) != "torch.bool" or not mask.numel():
        raise PatternError(f"a pattern is detected in a matrix of bools, not in {mask.dtype} of shape {tuple(mask.shape)}.")
    if mask.all():
        return "dense"
    rows, columns = mask.shape
    if mask.any():
        for n, m in GROUPS:
            if columns % m == 0 and bool((mask.unflatten(1, (-1, m)).sum(-1) <= n).all()):
                return f"{n}:{m}"
    if bool((mask == mask[:, :1]).all()):
        return "neuron"
    for side in BLOCKS:
        if rows % side == 0 and columns % side == 0:
            tiles = mask.unflatten(1, (-1, side)).unflatten(0, (-1, side))
            if bool((tiles == tiles[:, :1, :, :1]).all()):
                return f"block:{side}x{side}"
    return "unstructured"
