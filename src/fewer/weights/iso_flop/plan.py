"""What a transformation is going to change, before anything is changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import nn

from fewer.errors import BudgetError, ModelError
from fewer.weights.iso_flop.doped import Doped
from fewer.weights.iso_flop.factorized import Factorized
from fewer.weights.iso_flop.like import Plain
from fewer.weights.iso_flop.parallel import Parallel
from fewer.weights.iso_flop.part import Part, Transformed
from fewer.weights.iso_flop.sites import Builder
from fewer.weights.iso_flop.sizes import branch_count, doped_rank, inner_width, widened
from fewer.weights.iso_flop.wide import widen
from fewer.weights.layers import Layer, find_layers

Nonlinearity = Literal["relu", "gelu", "none"]
NONLINEARITIES: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "none": nn.Identity}


class Placed(NamedTuple):
    """A part in the new network."""

    site: str
    """The dense layer that it stands for."""
    part: Part


@dataclass(frozen=True, eq=False)
class Plan:
    """The new network, once `replaced` have taken their places in `model`."""

    model: nn.Module
    replaced: Mapping[str, nn.Module]
    placed: Mapping[str, Placed]
    """Every linear and convolution layer that the new network will have, by name."""
    fresh: frozenset[str]
    """Those whose weights are drawn anew."""


@dataclass(frozen=True)
class Form:
    """How a layer is transformed in its place. See `iso_flop` for the options."""

    kind: Literal["parallel", "factorized", "doped"]
    nonlinearity: Nonlinearity | None = None
    norm: bool = True
    sparse_v: bool = True

    def of(self, name: str, layer: Plain, sparsity: float) -> Transformed | None:
        """What takes the place of `layer`; None where that is the layer itself.

        Raises:
            BudgetError: a sparsity at which there is but one branch.
            ModelError: a layer too small for a low-rank part.
        """
        outputs, fan_in = Layer(name, layer).shape
        if self.kind == "factorized":
            inner = inner_width(outputs, fan_in, sparsity, self.sparse_v)
            return Factorized(layer, inner, self._between(layer), self.norm, self.sparse_v)
        if not sparsity:
            return None
        if self.kind == "parallel":
            branches = branch_count(sparsity)
            if branches < 2:
                raise BudgetError(f"sparsity {sparsity:g} gives one branch and no more: parallel needs at least 1/3.")
            return Parallel(layer, branches, self._between(layer), self.norm)
        rank = doped_rank(outputs, fan_in, sparsity)
        if rank < 1:
            raise ModelError(
                f"{name} [{outputs}, {fan_in}] is too small: at sparsity {sparsity:g} the low-rank part of doped has rank 0. "
                f'Raise the sparsity, or leave it as it is: exclude="{name}".'
            )
        return Doped(layer, rank)

    def _between(self, layer: Plain) -> nn.Module:
        own = "none" if self.kind == "parallel" and isinstance(layer, nn.Conv2d) else "relu"
        return NONLINEARITIES[self.nonlinearity or own]()


def plan_in_place(model: nn.Module, sites: Mapping[str, Plain], form: Form, sparsity: float) -> Plan:
    """Each site gets its form; all other layers stay as they are."""
    made = {name: form.of(name, site, sparsity) for name, site in sites.items()}
    placed: dict[str, Placed] = {}
    for name, layer in find_layers(model).items():
        new = made.get(name)
        parts = {name: Part(layer.module, sparse=name in sites)} if new is None else _inside(name, new)
        placed |= {inner: Placed(name, part) for inner, part in parts.items()}
    replaced = {name: new for name, new in made.items() if new is not None}
    return Plan(model, replaced, placed, frozenset(name for name, place in placed.items() if place.site in replaced))


def plan_wide(model: nn.Module | Builder, dense: nn.Module, sites: Mapping[str, Plain], width: int, sparsity: float) -> Plan:
    """All hidden widths grow; sites are sparse.

    Args:
        model: a chain, or what builds the network at a width; `dense` is that one at `width`.

    Raises:
        ModelError: a network that cannot be widened.
    """
    if isinstance(model, nn.Module):
        replaced = widen(model, sparsity) if sparsity else {}
        layers = {name: replaced.get(name, layer.module) for name, layer in find_layers(model).items()}
        fresh = frozenset(name for name in layers if name in replaced)
        return Plan(model, replaced, _wide_parts(layers, sites), fresh)
    wider = widened(width, sparsity)
    built = model(wider)
    layers = {name: layer.module for name, layer in find_layers(built).items()}
    _check_wider(dense, layers, width, wider)
    return Plan(built, {}, _wide_parts(layers, sites), frozenset(layers))


def _wide_parts(layers: Mapping[str, nn.Module], sites: Mapping[str, Plain]) -> dict[str, Placed]:
    return {name: Placed(name, Part(layer, sparse=name in sites)) for name, layer in layers.items()}  # type: ignore[arg-type]


def _check_wider(dense: nn.Module, layers: Mapping[str, nn.Module], width: int, wider: int) -> None:
    before = find_layers(dense)
    if list(before) != list(layers):
        odd = sorted(set(before) ^ set(layers))[:3] or "their order"
        raise ModelError(f"the networks at widths {width} and {wider} differ in their layers ({odd}), not in width alone.")
    sizes = [(before[name].module.weight.numel(), layers[name].weight.numel()) for name in layers]  # type: ignore[operator]
    if wider > width and not any(new > old for old, new in sizes):
        raise ModelError(f"the network at width {wider} is no larger than at {width}: the function must use its argument.")


def _inside(name: str, new: Transformed) -> dict[str, Part]:
    return {f"{name}.{inner}" if name else inner: part for inner, part in new.parts().items()}
