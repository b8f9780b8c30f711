"""A budget for a density: by bisection on queries and keys that a model really has."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from fewer.attention.dense import DenseAttention
from fewer.attention.families.family import Family
from fewer.attention.families.snapkv import SnapKV
from fewer.attention.frontier.judged import read_prompts
from fewer.attention.frontier.prompt import LayerOfPrompt, forward
from fewer.attention.frontier.sample import Sample
from fewer.attention.frontier.studied import Counted, studied
from fewer.attention.inputs import Inputs
from fewer.attention.memory import Memory

LAYERS = 6
"""Layers that are looked at, spread over the model."""
STEPS = 14
CLOSE = 0.005
"""Relative distance to the density asked for that is near enough."""

F = TypeVar("F", bound=Family)


class Call(NamedTuple):
    """One layer's attention call, with what was cached before it when it decodes."""

    inputs: Inputs
    prompt: LayerOfPrompt | None = None


@torch.inference_mode()
def calls(model: nn.Module, sample: Sample, phase: str) -> list[Call]:
    """Calls of some layers on one sample, by dense attention: those that a method of `phase` would change."""
    counted = Counted(DenseAttention(), phase, seen=[])
    tokens = sample.tokens[None].to(next(model.parameters()).device)
    prompt = read_prompts(model, [sample]) if phase == "decode" else None
    with studied(model, counted):
        from transformers import DynamicCache

        if prompt is not None:
            forward(model, tokens[:, sample.start - 1 :], prompt.cache(), 1)
        else:
            forward(model, tokens if sample.running else tokens[:, : sample.start], DynamicCache(), 1)
    assert counted.seen is not None
    count = len(counted.seen)
    chosen = sorted({round(i * (count - 1) / max(1, LAYERS - 1)) for i in range(LAYERS)})
    return [Call(counted.seen[i], prompt.layers[i] if prompt is not None else None) for i in chosen]


def density(method: Family, given: Sequence[Call]) -> float:
    """Mean kept share of the cells of the calls."""
    found = []
    for inputs, prompt in given:
        memory = Memory()
        if isinstance(method, SnapKV) and prompt is not None:
            method.begin(prompt.inputs(), memory)
        found.append(method.choose(inputs, memory).density(inputs) if method.of_stage(inputs) else 1.0)
    return sum(found) / len(found)


def fitted(method: F, target: float, given: Sequence[Call]) -> F:
    """The method whose density on the calls is nearest to `target`. Some cannot go as low: what is always kept is a floor."""
    low, high, best = 0.0, 1.0, (float("inf"), method)
    keys = max(call.inputs.keys for call in given)
    for _ in range(STEPS):
        share = (low + high) / 2
        sized = method.with_share(share, keys)
        reached = density(sized, given)
        best = min(best, (abs(reached - target), sized), key=lambda found: found[0])
        if best[0] <= CLOSE * target or high - low < 0.5 / keys:
            break
        low, high = (low, share) if reached > target else (share, high)
    return best[1]
