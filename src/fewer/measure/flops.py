"""FLOPs of one forward pass: if nothing were skipped, if every masked weight were, and as the kernels here run it.

One multiply-add (MAC) is two FLOPs. Counted are matrix products, convolutions and attention; additions of biases,
norms and activations are not, as in `torch.utils.flop_counter`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from fewer.errors import MeasureError
from fewer.measure.evaluating import evaluating

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool
    from torch import Tensor, nn


class LayerFlops(NamedTuple):
    """FLOPs of one layer in one forward pass, over all its calls."""

    dense: int
    """If nothing were skipped."""
    active: int
    """If every masked weight were skipped."""
    executed: int
    """What the layer's kernel multiplies on this machine."""


class Flops(NamedTuple):
    """FLOPs (2 a multiply-add) of one forward pass."""

    dense: int
    """If nothing were skipped; attention included, its causal half counted whole."""
    active: int
    """What remains when every masked weight is skipped."""
    executed: int
    """What the kernels that run here execute: a masked weight in an ordinary product is still multiplied."""
    by_layer: dict[str, LayerFlops]
    """Each linear and convolution layer that ran, by dotted name; the rest of the total (attention) has no layer."""


def count(
    model: nn.Module,
    *inputs: Any,
    masks: Mapping[str, Bool[Tensor, "*shape"]] | None = None,
    kernels: Mapping[str, str] | None = None,
    **keywords: Any,
) -> Flops:
    """Counts the FLOPs of `model(*inputs, **keywords)`, by running it once without gradients in evaluation mode.

    The total is `FlopCounterMode`'s, with torch's fused CPU attention added, which it would leave out. A layer that
    it cannot see into (a sparse kernel's module with `in_features` and `out_features`) is counted by its shape. A
    layer with a active weights of n costs 2a FLOPs a sample or token when linear, and 2a H_out W_out a sample as a
    convolution. Products outside torch's operators and such modules (attention in a kernel of our own) are not seen.
    The model is left as it was, also when its forward raises.

    Args:
        masks: module name (without `.weight`) -> mask of its weight's shape, True = kept.
        kernels: module name -> kernel that runs it. Every name but "dense" says that masked weights are skipped.

    Raises:
        MeasureError: a name that the model lacks, a mask that does not fit its weight, or a masked layer that is
            neither linear nor a convolution.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    masks, kernels = masks or {}, kernels or {}
    modules = dict(model.named_modules(remove_duplicate=False))
    if unknown := [name for name in [*masks, *kernels] if name not in modules]:
        raise MeasureError(f"the model has no module {unknown[0]!r}; masks and kernels go by names of named_modules().")
    kept = {modules[name]: _kept(name, modules[name], mask) for name, mask in masks.items()}
    skipping = {modules[name] for name, kernel in kernels.items() if kernel != "dense"}
    layers = {name: module for name, module in model.named_modules() if _is_layer(module)}

    counter = FlopCounterMode(display=False, custom_mapping=_attention())
    uses = dict.fromkeys(layers.values(), 0)
    seen = dict.fromkeys(layers.values(), 0)

    def before(module: nn.Module, _inputs: Any) -> None:
        seen[module] -= counter.get_total_flops()

    def after(module: nn.Module, given: Any, output: Tensor) -> None:
        seen[module] += counter.get_total_flops()
        uses[module] += _uses(module, given, output)

    with ExitStack() as stack:
        for module in layers.values():
            stack.callback(module.register_forward_pre_hook(before).remove)
            stack.callback(module.register_forward_hook(after).remove)
        # torch's fused encoder layer hides its products from the counter and from hooks.
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        stack.enter_context(evaluating(model))
        stack.enter_context(torch.no_grad())
        stack.enter_context(counter)
        model(*inputs, **keywords)

    by_layer = {}
    for name, module in layers.items():
        if uses[module]:
            whole = 2 * uses[module] * _numel(module)
            part = 2 * uses[module] * kept[module] if module in kept else whole
            by_layer[name] = LayerFlops(whole, part, part if module in skipping else whole)
    elsewhere = counter.get_total_flops() - sum(seen.values())
    return Flops(
        dense=elsewhere + sum(row.dense for row in by_layer.values()),
        active=elsewhere + sum(row.active for row in by_layer.values()),
        executed=elsewhere + sum(row.executed for row in by_layer.values()),
        by_layer=by_layer,
    )


def _is_layer(module: nn.Module) -> bool:
    return _is_convolution(module) or _is_conv1d(module) or _is_linear(module)


def _is_linear(module: nn.Module) -> bool:
    from torch import nn

    sides = (getattr(module, "in_features", None), getattr(module, "out_features", None))
    leaf = isinstance(module, nn.Linear) or not any(True for _ in module.children())
    return leaf and not isinstance(module, nn.Bilinear) and all(isinstance(side, int) and side > 0 for side in sides)


def _is_convolution(module: nn.Module) -> bool:
    from torch.nn.modules.conv import _ConvNd

    return isinstance(module, _ConvNd)


def _is_conv1d(module: nn.Module) -> bool:
    """transformers' Conv1D: a linear layer with its weight [in, out]."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf") and hasattr(module, "nx")


def _numel(module: nn.Module) -> int:
    return math.prod(_weight_shape(module))


def _weight_shape(module: Any) -> tuple[int, ...]:
    if _is_convolution(module):
        return tuple(module.weight.shape)
    return (module.nx, module.nf) if _is_conv1d(module) else (module.out_features, module.in_features)


def _uses(module: Any, given: tuple[Any, ...], output: torch.Tensor) -> int:
    """How often each weight is used in one call: once a position of the output (of the input, if transposed)."""
    if _is_convolution(module):
        return given[0].numel() // module.in_channels if module.transposed else output.numel() // module.out_channels
    return output.numel() // (module.nf if _is_conv1d(module) else module.out_features)


def _kept(name: str, module: nn.Module, mask: Tensor) -> int:
    if not _is_layer(module):
        raise MeasureError(f"{name} is a {type(module).__name__}; masks are counted for linear and convolution layers.")
    if tuple(mask.shape) != _weight_shape(module):
        raise MeasureError(f"the mask of {name} is {tuple(mask.shape)}; its weight is {_weight_shape(module)}.")
    return int(mask.count_nonzero())


def _attention() -> dict[Any, Any]:
    import torch

    def flops(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        *batch, queries, width = query
        return 2 * math.prod(batch) * queries * key[-2] * (width + value[-1])

    names = ("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_fused_attention_overrideable")
    return {getattr(torch.ops.aten, name): flops for name in names if hasattr(torch.ops.aten, name)}
