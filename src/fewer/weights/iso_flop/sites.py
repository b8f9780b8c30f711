"""Which layers are transformed, and how often one forward pass uses each."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Literal

from torch import nn

from fewer.errors import ModelError, PatternError
from fewer.weights.iso_flop.like import Plain
from fewer.weights.layers import find_layers

End = Literal["first", "last"]
Builder = Callable[[int], nn.Module]
"""A network at a hidden width."""


def find_sites(
    model: nn.Module, dense: Collection[End], include: str | Iterable[str], exclude: str | Iterable[str]
) -> dict[str, Plain]:
    """The layers to transform, by name: those that a mask can lie on, without the ends that stay dense.

    The ends are the first and the last layer by definition. A language model's are its embedding and its output head, so
    there no other layer is left out.

    Raises:
        ModelError: nothing is left, or a layer that is neither linear nor a 2-d convolution.
        PatternError: a convolution in groups.
    """
    every = list(find_layers(model))
    headed = getattr(model, "get_output_embeddings", lambda: None)() is not None
    ends = set() if headed else {every[0 if end == "first" else -1] for end in dense}
    found = {name: layer.module for name, layer in find_layers(model, include, exclude).items() if name not in ends}
    if not found:
        raise ModelError(
            f"no layer is left to transform: {', '.join(sorted(ends))} stay dense, and there are no others. Let them be "
            "sparse: dense=()."
        )
    for name, module in found.items():
        if type(module) not in (nn.Linear, nn.Conv2d):
            raise ModelError(
                f"{name} is a {type(module).__name__}; only nn.Linear and nn.Conv2d are transformed. Leave it as it is: "
                f'exclude="{name}".'
            )
        if getattr(module, "groups", 1) != 1:
            raise PatternError(
                f"{name} is a convolution in {module.groups} groups, which is sparse in its own way and not transformed. "
                f'Leave it as it is: exclude="{name}".'
            )
    return found


def count_uses(model: nn.Module, inputs: Any) -> dict[str, int]:
    """How often one forward pass of `inputs` uses each weight of every layer: once a sample, token or output position.

    Without inputs that is once for linear layers.

    Raises:
        ModelError: convolutions without inputs, or a layer that the inputs do not reach.
    """
    from fewer.measure.flops import count

    layers = find_layers(model)
    if inputs is None:
        if convolutions := [name for name, layer in layers.items() if not isinstance(layer.module, nn.Linear)]:
            raise ModelError(
                f"how much {convolutions[0]} costs depends on the size of its input: pass inputs=, a batch of one sample."
            )
        return dict.fromkeys(layers, 1)
    positional, keywords = as_arguments(inputs)
    counted = count(model, *positional, **keywords).by_layer
    if idle := [name for name in layers if name not in counted]:
        raise ModelError(f"{idle[0]} does not run on these inputs, so its cost is unknown; pass inputs that reach every layer.")
    return {name: counted[name].dense // (2 * layer.module.weight.numel()) for name, layer in layers.items()}


def as_arguments(inputs: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """Positional and keyword arguments of a forward: a mapping is keywords, a tuple several positional ones."""
    if isinstance(inputs, Mapping):
        return (), inputs
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}
