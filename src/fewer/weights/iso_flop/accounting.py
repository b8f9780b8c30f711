"""What a transformed network costs: multiply-adds by layer and in total, what the FLOPs leave out, and time as measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fewer.measure.evaluating import evaluating
from fewer.measure.latency import Timing, interleaved
from fewer.weights.iso_flop.sites import as_arguments


class LayerCost(NamedTuple):
    """Multiply-adds in one forward pass of one layer of the dense network, and of what stands in its place."""

    name: str
    dense: int
    """Of the dense layer."""
    active: int
    """Of the active weights in its place: the theoretical cost."""
    executed: int
    """Of all weights in its place: what a masked dense product runs."""

    @property
    def ratio(self) -> float:
        """Active to dense; 1 = iso-FLOP."""
        return self.active / self.dense


class Outside(NamedTuple):
    """What grows beside the multiply-adds."""

    parameters: int
    """Biases and norms."""
    activations: int | None
    """Values that layers, norms and activations put out in one forward pass; None where no inputs were given."""


@dataclass(frozen=True)
class Report:
    """The accounts of one transformation."""

    kind: str
    sparsity: float
    layers: tuple[LayerCost, ...]
    active_weights: int
    """Weights of all layers that are not masked."""
    dense_weights: int
    """Weights of the dense network's layers."""
    outside_dense: Outside
    outside: Outside

    @property
    def dense_macs(self) -> int:
        return sum(layer.dense for layer in self.layers)

    @property
    def macs(self) -> int:
        """Theoretical multiply-adds: those of active weights."""
        return sum(layer.active for layer in self.layers)

    @property
    def executed_macs(self) -> int:
        """Multiply-adds that masked dense products run."""
        return sum(layer.executed for layer in self.layers)

    @property
    def ratio(self) -> float:
        """Theoretical multiply-adds to the dense network's."""
        return self.macs / self.dense_macs

    def __str__(self) -> str:
        rows = [("layer", "dense MACs", "active", "ratio", "executed")]
        rows += [
            (cost.name or "model", f"{cost.dense:,}", f"{cost.active:,}", f"{cost.ratio:.4f}", f"{cost.executed:,}")
            for cost in self.layers
        ]
        rows.append(("total", f"{self.dense_macs:,}", f"{self.macs:,}", f"{self.ratio:.4f}", f"{self.executed_macs:,}"))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
            for row in rows
        ]
        before, after = self.outside_dense, self.outside
        lines.append(f"biases and norms: {before.parameters:,} -> {after.parameters:,} parameters")
        if before.activations is not None and after.activations is not None:
            lines.append(f"activations: {before.activations:,} -> {after.activations:,} values")
        return "\n".join([f"sparse {self.kind} at sparsity {self.sparsity:g}", *lines])


def outside(model: nn.Module, weights: int, inputs: Any = None) -> Outside:
    """What `model` has beside `weights` weights, and puts out on `inputs`."""
    parameters = sum(parameter.numel() for parameter in model.parameters()) - weights
    return Outside(parameters, None if inputs is None else _activations(model, inputs))


def _activations(model: nn.Module, inputs: Any) -> int:
    positional, keywords = as_arguments(inputs)
    seen = 0

    def note(module: nn.Module, given: Any, output: Any) -> None:
        nonlocal seen
        if isinstance(output, Tensor) and not (given and output is given[0]):
            seen += output.numel()

    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    hooks = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        with evaluating(model), torch.no_grad():
            model(*positional, **keywords)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def step_times(models: Mapping[str, nn.Module], inputs: Any, repeats: int = 20) -> dict[str, Timing]:
    """Wall time of a forward and a backward pass of each model, interleaved. Masked weights are multiplied all the same.

    Gradients are cleared before and afterwards; the models stay in the mode they are in.
    """
    positional, keywords = as_arguments(inputs)

    def step(model: nn.Module) -> None:
        model.zero_grad()
        model(*positional, **keywords).sum().backward()

    times = interleaved({name: lambda model=model: step(model) for name, model in models.items()}, repeats)  # type: ignore[misc]
    for model in models.values():
        model.zero_grad()
    return times
