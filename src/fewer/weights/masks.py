"""Masks that hold while a module trains: the weight that it computes with is the stored one times the mask."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fewer.core.selection import Selection, Selections
from fewer.errors import SelectionError


class Masked(nn.Module):
    """Parametrization: weight -> weight * mask. Gradients of masked entries are zero by the product rule."""

    mask: Bool[Tensor, "..."]

    def __init__(self, mask: Bool[Tensor, "..."]):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        # where, not a product: 0 * inf would be NaN
        return torch.where(self.mask, weight, 0)


def hold(model: nn.Module, selections: Mapping[str, Selection]) -> nn.Module:
    """Mask the named modules' weights from now on; a mask that is already held is replaced. Returns `model`.

    Raises:
        SelectionError: for a name that the model lacks or a mask of another shape; nothing is changed then.
    """
    modules = {name: _module(model, name, selection) for name, selection in selections.items()}
    for name, module in modules.items():
        mask = selections[name].mask.to(module.weight.device, copy=True)  # the caller's stays his own
        held = _held(module)
        if held is None:
            parametrize.register_parametrization(module, "weight", Masked(mask))
        else:
            held.mask.copy_(mask)
    return model


def release(model: nn.Module) -> nn.Module:
    """Make the zeros part of the weights and take the masks away. Returns `model`."""
    for module in list(model.modules()):
        if _held(module) is not None:
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return model


def held(model: nn.Module) -> Selections:
    """The selections that `hold` put on `model`, by module name."""
    masks = {name: _held(module) for name, module in model.named_modules()}
    return Selections({name: Selection(masked.mask) for name, masked in masks.items() if masked is not None})


def apply(model: nn.Module, selections: Mapping[str, Selection]) -> nn.Module:
    """Zero what is not kept, once, with no hook left behind. Raises as `hold` does."""
    modules = {name: _module(model, name, selection) for name, selection in selections.items()}
    with torch.no_grad():
        for name, module in modules.items():
            held = _held(module)
            stored = module.weight if held is None else module.parametrizations.weight.original
            stored.masked_fill_(~selections[name].mask.to(module.weight.device), 0)
    return model


def _held(module: Any) -> Masked | None:
    if not parametrize.is_parametrized(module, "weight"):
        return None
    return next((p for p in module.parametrizations.weight if isinstance(p, Masked)), None)


def _module(model: nn.Module, name: str, selection: Selection) -> Any:
    try:
        module: Any = model.get_submodule(name)
    except AttributeError:
        raise SelectionError(f"the model has no module {name}: these selections were made for another model.") from None
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.shape != selection.mask.shape:
        has = tuple(weight.shape) if isinstance(weight, Tensor) else "no weight"
        raise SelectionError(
            f"the mask of {name} has shape {tuple(selection.mask.shape)}, the module {has}: made for another model."
        )
    return module
