"""Detect: which pattern a mask really has, whatever it is said to have."""

from jaxtyping import Bool
from torch import Tensor

from fewer.errors import PatternError

GROUPS = ((1, 4), (2, 4), (4, 8))
BLOCKS = (32, 16, 8, 4, 2)
HEAD = 64
"""Rows looked at first; a multiple of every block's side."""


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
    possible = [*(f"{n}:{m}" for n, m in GROUPS), "neuron", *(f"block:{side}x{side}" for side in BLOCKS)]
    # Most masks contradict a pattern within their first rows; only what these allow is looked for in the whole.
    for part in (mask[:HEAD], mask):
        possible = [pattern for pattern in possible if _has(part, pattern)]
    if not mask.any():  # nothing kept fits every N:M by vacuity; whole rows are what was dropped
        possible = [pattern for pattern in possible if pattern == "neuron"]
    return possible[0] if possible else "unstructured"


def _has(mask: Bool[Tensor, "out in"], pattern: str) -> bool:
    rows, columns = mask.shape
    if pattern == "neuron":
        return bool((mask == mask[:, :1]).all())
    if pattern.startswith("block:"):
        side = int(pattern.rpartition("x")[2])
        if rows % side or columns % side:
            return False
        tiles = mask.unflatten(1, (-1, side)).unflatten(0, (-1, side))
        return bool((tiles == tiles[:, :1, :, :1]).all())
    n, m = map(int, pattern.split(":"))
    return columns % m == 0 and bool((mask.unflatten(1, (-1, m)).count_nonzero(-1) <= n).all())
