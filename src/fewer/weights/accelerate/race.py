"""All compact forms of some layers against torch's dense product, and who won."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fewer.core import noise
from fewer.kernels.forms import Packed, pack
from fewer.measure.device import cache_bytes
from fewer.measure.latency import Timing, interleaved, ratio
from fewer.weights.accelerate.kinds import Kind
from fewer.weights.accelerate.linear import FastLinear, Stack

ROWS = {"cpu": (1, 2, 4, 8, 16), "cuda": (1, 2, 4, 8, 16, 64, 256, 1024)}
"""Rows of input for which forms are timed, by type of device: on a CPU forms are for decoding, on a GPU also for prompts."""
MARGIN = 1.02
"""By so much a form must be faster, at the low end of the interval. A tie leaves a layer as it was."""
ROUNDS = 100

Group = Sequence[nn.Linear]
"""Layers that read the same input: multiplied in one go. Mostly one."""


class Outcome(NamedTuple):
    """Who won."""

    form: str
    """"torch", or a compact form."""
    largest: int
    """Rows of input up to which that form is faster than torch; 0 for torch."""
    seconds: dict[str, float]
    """Of one group with `batch` rows: torch and every form that was tried."""
    why: str
    smallest: int = 1
    """Rows of input from which that form is faster."""


def race(kind: Kind, groups: Sequence[Group], batch: int, seconds: float) -> Outcome:
    """Time the forms on as many of `groups` (all of one kind) as the last cache holds twice; at least one."""
    each = sum(layer.weight.nbytes for layer in groups[0])
    sample = groups[: max(1, 2 * cache_bytes(kind.device) // max(each, 1))]
    forms = {form: [pack(stacked(group), form) for group in sample] for form in kind.fits}
    smaller = {f: p for f, p in forms.items() if f == "dense" or sum(x.nbytes for x in p) < each * len(sample)}
    if not smaller:
        why = "no form is smaller than the weights" if forms else f"no kernel for {kind.dtype} on {kind.device.type}"
        return Outcome("torch", 0, {}, why)
    times = _times(sample, smaller, batch, seconds)
    medians = {name: timing.median / len(sample) for name, timing in times.items()}
    best = min(smaller, key=medians.__getitem__)
    gain = ratio(times["torch"], times[best])
    if gain.low < MARGIN:
        return Outcome("torch", 0, medians, f"{best}, the fastest form, gives {gain.mean:.2f} x torch: no sure gain")

    def wins(rows: int) -> bool:
        again = _times(sample, {best: smaller[best]}, rows, seconds / 4)
        return ratio(again["torch"], again[best]).low >= MARGIN

    others = ROWS[kind.device.type]
    smallest = min([batch, *takewhile(wins, (rows for rows in reversed(others) if rows < batch))])
    largest = max([batch, *takewhile(wins, (rows for rows in others if rows > batch))])
    why = f"{gain.mean:.2f} x torch"
    if best != "dense" and "dense" in medians:
        why += f", {medians['dense'] / medians[best]:.2f} x our dense kernel"
    rows = f"up to {largest} rows" if smallest == 1 else f"{smallest} to {largest} rows"
    return Outcome(best, largest, medians, f"{why}; {rows}", smallest)


def stacked(group: Group) -> Tensor:
    """Their weights as one matrix."""
    weights = [layer.weight.detach() for layer in group]
    return weights[0] if len(weights) == 1 else torch.cat(weights)


def fast(group: Group, packed: Packed, largest: int, keep_dense: bool = True, smallest: int = 1) -> list[FastLinear]:
    """Their replacements. Without dense weights the form is used for few rows too: unpacking would be slower."""
    stack = Stack(packed, [layer.out_features for layer in group], largest, smallest if keep_dense else 1)
    return [FastLinear(layer, stack, place, keep_dense) for place, layer in enumerate(group)]


def _times(groups: Sequence[Group], forms: Mapping[str, Sequence[Packed]], rows: int, seconds: float) -> dict[str, Timing]:
    """Of one pass over all the groups: as they are, and in each form."""
    first = groups[0][0]
    # Decoding has one row for each sequence, and a tensor of its own for each group.
    x = noise((rows, 1, first.in_features), 0, "inputs").to(first.weight.device, first.weight.dtype)
    passes: dict[str, list[nn.Module]] = {"torch": [layer for group in groups for layer in group]}
    for form, packed in forms.items():
        passes[form] = [layer for group, p in zip(groups, packed, strict=True) for layer in fast(group, p, rows)]

    def run(modules: Sequence[nn.Module]) -> None:
        for module in modules:
            module(x)

    with torch.inference_mode():
        return interleaved({name: partial(run, modules) for name, modules in passes.items()}, ROUNDS, 2, seconds)
