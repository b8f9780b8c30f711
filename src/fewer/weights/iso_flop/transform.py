"""`fewer.iso_flop`: a dense network becomes a larger, sparser one that costs as many multiply-adds."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args

from torch import nn

from fewer.core import Allocation
from fewer.core.allocation import parse_allocation
from fewer.errors import MethodError, ModelError
from fewer.weights.iso_flop.accounting import LayerCost, Report, outside
from fewer.weights.iso_flop.budget import Cost, Counts, bisected, matched
from fewer.weights.iso_flop.part import Transformed
from fewer.weights.iso_flop.plan import NONLINEARITIES, Form, Nonlinearity, plan_in_place, plan_wide
from fewer.weights.iso_flop.sites import Builder, End, count_uses, find_sites
from fewer.weights.iso_flop.sizes import check_sparsity
from fewer.weights.iso_flop.start import Init, draw_masks, draw_weights
from fewer.weights.layers import find_layers
from fewer.weights.training.moment import Masks

Kind = Literal["wide", "parallel", "factorized", "doped"]


class IsoFlop(NamedTuple):
    """A transformed network."""

    model: nn.Module
    """Larger layers, weights drawn anew and zero where masked. It trains like any module."""
    masks: Masks
    """Of all its linear and convolution layers; those that stay dense have full ones. Hold them while it trains."""
    report: Report
    """What it costs beside the dense network."""


def iso_flop(
    model: nn.Module | Builder,
    kind: Kind,
    sparsity: float,
    *,
    inputs: Any = None,
    width: int | None = None,
    dense: Collection[End] = ("first", "last"),
    include: str | Iterable[str] = ("*",),
    exclude: str | Iterable[str] = (),
    allocation: str | Allocation | None = None,
    nonlinearity: Nonlinearity | None = None,
    norm: bool = True,
    sparse_v: bool = True,
    init: Init = "sparse",
    seed: int = 0,
) -> IsoFlop:
    """Make the layers of a network larger and as sparse as keeps their multiply-adds (arXiv 2303.11525).

    "parallel", "factorized" and "doped" put a module in the place of each layer of `model`, which is changed; "wide" puts
    wider layers into a sequential chain, or builds the network wider. New weights are drawn by `seed`; layers that are not
    transformed keep theirs. At sparsity 0 all but "factorized" leave the network as it is. Whatever can be refused is
    refused before anything is changed.

    Args:
        model: any module; for "wide" an `nn.Sequential` chain, or a function that builds the network at a width.
        sparsity: s in [0, 1). Layers get 1 / (1 - s) times as large, and 1 - s of their weights are active.
        inputs: arguments of one forward pass, a batch of one sample is enough; needed where there are convolutions.
        width: of the dense network, for a function.
        dense: ends of the network that are not transformed.
        include, exclude: shell patterns over layer names. "wide" widens all layers, and those left out are not masked.
        allocation: None: each layer costs what its dense one did. "uniform", "erk": one density, shared out, at which the
            total is within 1e-3.
        nonlinearity: after each branch ("parallel"), between the factors ("factorized"). None: "relu", but "none" for
            branches of convolutions, which have a norm.
        norm: batch norm after each branch, and between factors, of convolutions.
        sparse_v: False keeps the second factor of "factorized" dense.
        init: see `Init`.

    Raises:
        BudgetError: sparsity out of range; ends that stay dense and cost too much.
        MethodError: an unknown kind or option.
        ModelError: a layer of another type, too small, or one that "wide" cannot widen.
        PatternError: a convolution in groups.
    """
    check_sparsity(sparsity)
    _check(kind, nonlinearity, dense, init)
    shared = None if allocation is None else parse_allocation(allocation)
    before = _dense_network(model, kind, width)
    sites = find_sites(before, dense, include, exclude)
    uses = count_uses(before, inputs)
    weights = {name: layer.module.weight.numel() for name, layer in find_layers(before).items()}
    if kind == "wide":
        plan = plan_wide(model, before, sites, width or 0, sparsity)
    else:
        plan = plan_in_place(before, sites, Form(kind, nonlinearity, norm, sparse_v), sparsity)
    costs = {
        name: Cost(site, tuple(part.layer.weight.shape), uses[site], part.sparse) for name, (site, part) in plan.placed.items()
    }
    counts = matched(costs, weights) if shared is None else bisected(costs, weights, shared)
    outside_before = outside(before, sum(weights.values()), inputs)

    after = _replace(plan.model, plan.replaced)
    masks = draw_masks(after, counts, seed)
    gains = {name: part.gain for name, (_, part) in plan.placed.items()}
    draw_weights(after, {name: mask for name, mask in masks.items() if name in plan.fresh}, gains, init, seed)
    report = Report(
        kind=kind,
        sparsity=sparsity,
        layers=_layer_costs(costs, counts, weights, uses),
        active_weights=sum(counts.values()),
        dense_weights=sum(weights.values()),
        outside_dense=outside_before,
        outside=outside(after, sum(cost.size for cost in costs.values()), inputs),
    )
    return IsoFlop(after, masks, report)


def _check(kind: str, nonlinearity: str | None, dense: Collection[str], init: str) -> None:
    for what, given, allowed in (
        ("kind", (kind,), get_args(Kind)),
        ("nonlinearity", () if nonlinearity is None else (nonlinearity,), NONLINEARITIES),
        ("end of the network", dense, get_args(End)),
        ("init", (init,), get_args(Init)),
    ):
        if unknown := [one for one in given if one not in allowed]:
            raise MethodError(f"{what} {unknown[0]!r} is unknown; allowed: {', '.join(allowed)}.")
    if nonlinearity is not None and kind not in ("parallel", "factorized"):
        raise MethodError(f"{kind} has no place for a nonlinearity of its own; parallel and factorized have.")


def _dense_network(model: nn.Module | Builder, kind: Kind, width: int | None) -> nn.Module:
    if isinstance(model, nn.Module):
        if done := [name for name, module in model.named_modules() if isinstance(module, Transformed)]:
            raise ModelError(f"{done[0] or 'the model'} is transformed already; transform the dense network, built anew.")
        if width is not None:
            raise ModelError("a width goes with a function that builds the network; this model has its widths already.")
        return model
    if not callable(model):
        raise ModelError(f"a module is transformed, or a function that builds one at a width, not {model!r}.")
    if kind != "wide":
        raise ModelError(f'{kind} transforms a module, not a function that builds one: only "wide" takes a function.')
    if width is None or width < 1:
        raise ModelError(f"a function that builds the network needs the dense width, at least 1: width=..., not {width}.")
    return model(width)


def _replace(model: nn.Module, new: Mapping[str, nn.Module]) -> nn.Module:
    """Put modules in the places of those of these names, wherever the model holds them; "" is the model itself."""
    modules = dict(model.named_modules())
    taken = {id(modules[name]): module for name, module in new.items()}
    for module in modules.values():
        for child, held in module._modules.items():
            if id(held) in taken:
                setattr(module, child, taken[id(held)])
    for name, module in new.items():
        module.train(modules[name].training)
    return new.get("", model)


def _layer_costs(
    costs: Mapping[str, Cost], counts: Counts, weights: Mapping[str, int], uses: Mapping[str, int]
) -> tuple[LayerCost, ...]:
    rows = []
    for site, count in weights.items():
        parts = [name for name, cost in costs.items() if cost.site == site]
        active, whole = sum(counts[name] for name in parts), sum(costs[name].size for name in parts)
        rows.append(LayerCost(site, count * uses[site], active * uses[site], whole * uses[site]))
    return tuple(rows)
