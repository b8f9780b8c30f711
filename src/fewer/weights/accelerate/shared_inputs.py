"""Which linear layers read the same tensor, found by running the model once."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from fewer.measure.evaluating import evaluating
from fewer.weights.accelerate.linear import version
from fewer.weights.walk import Batch, call


def shared_inputs(model: nn.Module, layers: Mapping[str, nn.Linear], example: Batch | None) -> list[list[str]]:
    """The names in groups: layers called one after another with one tensor that was not written to in between.

    Args:
        example: what the model is called with (a tensor, a mapping of keywords, a sequence of positional arguments); None
            leaves every layer in a group of its own, as does a layer that is called more than once or not at all.
    """
    if example is None:
        return [[name] for name in layers]
    calls: list[tuple[str, Tensor, int]] = []

    def noting(name: str) -> Callable:
        return lambda _module, args: calls.append((name, args[0], version(args[0])))

    hooks = [layer.register_forward_pre_hook(noting(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad(), evaluating(model):
            call(model, example)
    finally:
        for hook in hooks:
            hook.remove()
    return _groups(list(layers), layers, calls)


def _groups(names: Sequence[str], layers: Mapping[str, nn.Linear], calls: Sequence[tuple[str, Tensor, int]]) -> list[list[str]]:
    often = [name for name, _, _ in calls]
    groups: list[list[str]] = []
    last: tuple[Tensor | None, int, torch.dtype | None] = (None, 0, None)
    for name, x, seen in calls:
        if often.count(name) > 1:
            last = (None, 0, None)
            continue
        dtype = layers[name].weight.dtype
        if x is last[0] and (seen, dtype) == last[1:]:
            groups[-1].append(name)
        else:
            groups.append([name])
        last = (x, seen, dtype)
    grouped = {name for group in groups for name in group}
    return groups + [[name] for name in names if name not in grouped]
