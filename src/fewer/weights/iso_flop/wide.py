"""Sparse Wide: all hidden widths of a network grow, and every layer gets sparse."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from fewer.errors import ModelError
from fewer.weights.iso_flop.like import sized
from fewer.weights.iso_flop.sizes import widened

LAYERS = (nn.Linear, nn.Conv2d)
ELEMENTWISE = {f"torch.nn.modules.{room}" for room in ("activation", "pooling", "dropout")}


def widen(model: nn.Module, sparsity: float) -> dict[str, nn.Module]:
    """The wider layers that a chain needs, by name: every width but the first layer's input and the last one's output.

    A chain is an `nn.Sequential` (of chains) of linear layers, 2-d convolutions, batch norms, activations, pooling, dropout
    and flattening. `model` is not changed.

    Raises:
        ModelError: anything else in it, by name.
    """
    chain = list(_chain(model))
    layers = [name for name, module in chain if type(module) in LAYERS]
    if len(layers) < 2:
        raise ModelError(f"Sparse Wide widens what lies between two layers, and the chain has {len(layers)}.")
    if len({id(module) for _, module in chain if type(module) in LAYERS}) < len(layers):
        raise ModelError("a layer stands in two places of the chain; give each place a layer of its own to widen it.")
    made: dict[str, nn.Module] = {}
    before, now = 0, 0  # channels that the last layer puts out, in the dense and in the wide network
    for name, module in chain:
        if type(module) in LAYERS:
            reads, writes = _sides(module)
            outputs = writes if name == layers[-1] else widened(writes, sparsity)
            inputs = reads if name == layers[0] else _scaled(name, reads, before, now)
            made[name] = sized(module, inputs, outputs)  # type: ignore[arg-type]
            before, now = writes, outputs
        elif type(module) in (nn.BatchNorm1d, nn.BatchNorm2d) and before:
            made[name] = _norm(module, _scaled(name, module.num_features, before, now))  # type: ignore[arg-type]
        elif not _keeps_channels(module):
            raise _cannot(name, module)
    return made


def _chain(model: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    if type(model) is nn.Sequential:
        for child, module in model._modules.items():  # a module that stands in two places comes twice
            yield from _chain(module, f"{name}.{child}" if name else child)
    else:
        yield name, model


def _sides(layer: Any) -> tuple[int, int]:
    """What a layer reads and puts out: features, or channels."""
    return (layer.in_features, layer.out_features) if type(layer) is nn.Linear else (layer.in_channels, layer.out_channels)


def _keeps_channels(module: nn.Module) -> bool:
    if any(True for _ in module.parameters()) or isinstance(module, nn.GLU):
        return False
    return type(module) in (nn.Flatten, nn.Identity) or type(module).__module__ in ELEMENTWISE


def _scaled(name: str, reads: int, before: int, now: int) -> int:
    """Flattening puts several values of a channel side by side, so a layer may read a multiple of the channels."""
    if reads % before:
        raise ModelError(f"{name} reads {reads} values, which the {before} channels before it do not give in whole numbers.")
    return reads // before * now


def _norm(norm: nn.BatchNorm1d | nn.BatchNorm2d, features: int) -> nn.Module:
    place = {"device": norm.weight.device, "dtype": norm.weight.dtype} if norm.affine else {}
    return type(norm)(features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats, **place)  # type: ignore[arg-type]


def _cannot(name: str, module: nn.Module) -> ModelError:
    where = f"{name} is a {type(module).__name__}" if name else f"the model is a {type(module).__name__}"
    return ModelError(
        f"{where}, which Sparse Wide cannot widen by itself: it rewires a Sequential of Linear, Conv2d, BatchNorm, "
        "activations, pooling, dropout and Flatten (a block that adds its input would meet unequal widths). Pass a function "
        'that builds the network at any width: iso_flop(build, "wide", sparsity, width=64).'
    )
