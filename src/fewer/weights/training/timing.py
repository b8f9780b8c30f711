"""The time of one masked product in each of its forms: which of them skip anything on this machine?"""

from functools import partial

import torch

from fewer.core import Count, Unstructured, noise, select
from fewer.measure.latency import Timing, interleaved
from fewer.weights.training.chain import Link, forward


def product_times(density: float, side: int = 1024, batch: int = 64, repeats: int = 20, seed: int = 0) -> dict[str, Timing]:
    """Times a [side, side] matrix by `batch` samples in one interleaved run.

    "dense", "masked" and "csr" have active weights at random positions; "sliced" is a dense product of as many weights, in
    whole rows. Threads are torch's.
    """
    weight, bias = noise((side, side), seed, "weight") - 0.5, torch.zeros(side)
    mask = select(noise((side, side), seed, "mask"), Unstructured(), Count(round(density * side * side))).mask
    spread, rows = Link(weight * mask, bias, mask), round(density * side)
    runs = {form: forward([spread], form) for form in ("dense", "masked", "csr")}
    runs["sliced"] = forward([Link(weight[:rows], bias[:rows], torch.ones_like(mask[:rows]))], "dense")
    x = noise((batch, side), seed, "samples")
    with torch.inference_mode():
        return interleaved({form: partial(run, x) for form, run in runs.items()}, repeats)
