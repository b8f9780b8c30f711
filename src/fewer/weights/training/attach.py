"""`fewer.attach`: sparse training of any model, in anyone's own loop."""

import dataclasses
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fewer.core import Allocation, Constant, Density, Method, Schedule, Selection, parse_allocation
from fewer.core import method as method_of
from fewer.core.method import plain_fields
from fewer.errors import MethodError, ResumeError, ScheduleError
from fewer.weights.layers import find_layers
from fewer.weights.training.in_loop import InLoop
from fewer.weights.training.masked import MaskedTraining
from fewer.weights.training.moment import Masks, active
from fewer.weights.training.rule import Rule
from fewer.weights.training.tree_file import read_tree

Names = str | Iterable[str]


def attach(
    model: nn.Module,
    optimizer: Optimizer,
    method: str | Method | None = None,
    schedule: Schedule | Density | float | None = None,
    *,
    density: float | None = None,
    steps: int | None = None,
    masks: Mapping[str, Selection | Tensor] | None = None,
    allocation: str | Allocation | None = None,
    include: Names = ("*",),
    exclude: Names = (),
    embeddings: bool = False,
    seed: int | None = None,
    resume: str | Path | Mapping[str, Any] | None = None,
) -> MaskedTraining:
    """Train `model` under masks from now on: each `optimizer.step()` keeps them, and moves them by the method.

    The masks are laid on at once. Weights that stay are not changed; for training from scratch, `he_normal(model, handle.masks,
    generator)` of `fewer.weights.training.start` draws weights at a scale that knows the density.

    Args:
        model: on its device, any module with linear or convolution layers; a Hugging Face model keeps its output head dense.
        optimizer: over the model's parameters: SGD, Adam, AdamW or any other that keeps state for each weight (not LBFGS).
        method: a method or its slug: "random-pruning" (a random mask that stays), "set", "rigl", "gradual-magnitude". None
            holds the masks that are given or that `fewer.prune` left in `model.fewer`.
        schedule: the density over the optimiser's steps: a schedule, or what `density` takes.
        density: share of the weights kept, at the end if the method starts denser. None starts from the masks that are there.
        steps: optimiser steps of the whole training. May be left out where nothing moves, or only a schedule does.
        masks: layer name -> selection or mask in the shape of the weight, in place of those in `model.fewer`.
        allocation: how the density is shared over layers ("erk", "uniform", ...), in place of the method's own.
        include, exclude: one or more shell patterns over layer names ("*.down_proj").
        embeddings: mask embeddings too.
        seed: of random positions, in place of the method's own.
        resume: a file that the handle's `save` wrote, or its `state_dict()`. All else must be as it was then.

    Raises:
        MethodError: an unknown method, one that is not for training in a loop, or an optimiser that masks cannot follow.
        ScheduleError, BudgetError: a density or schedule that makes no sense, or steps in which nothing would move.
        ModelError: no layer is left, masks of another model, or a layer that the optimiser does not train.
        ResumeError: a state that is damaged, or of another configuration or model; nothing was changed.
    """
    if schedule is not None and density is not None:
        raise ScheduleError(f"give the density once, not density={density} and schedule={schedule}.")
    asked = density if schedule is None else schedule
    chosen = _method(method, allocation, seed)
    state = None if resume is None else resume if isinstance(resume, Mapping) else read_tree(resume)
    if chosen is None or asked is None:
        if asked is not None:
            raise MethodError(f'{asked} is to be kept, by which method? Such as fewer.attach(..., "rigl", density=0.1).')
        start = _given(model, masks, state, include, exclude)
        path: Schedule = Constant.of(active(start) / sum(mask.numel() for mask in start.values()))
    else:
        if masks is not None:
            raise MethodError("give masks or a density: with a density, the method draws the masks itself.")
        path = _path(chosen, asked, steps)
        weights = {n: layer.module.weight for n, layer in find_layers(model, include, exclude, embeddings).items()}
        start = _whole(weights) if state else chosen.start(weights, path.at(0))
    rule = chosen.moves(path) if chosen else None
    horizon = _horizon(chosen, rule, path, steps, asked)
    about = {
        "method": {**chosen.configuration(), "seed": chosen.seed} if chosen else None,
        "schedule": {"is": type(path).__name__, **plain_fields(path)} if asked is not None else None,
        "steps": horizon if rule else None,
    }
    return MaskedTraining(model, optimizer, start, rule, horizon, configuration=about, resume=state)


def _method(named: str | Method | None, allocation: str | Allocation | None, seed: int | None) -> InLoop | None:
    import fewer.weights.methods
    import fewer.weights.training.methods  # noqa: F401 - registers them

    found = method_of(named) if isinstance(named, str) else named
    if found is None:
        if allocation is not None or seed is not None:
            raise MethodError("masks that are given have no allocation and no seed; name a method that draws them.")
        return None
    if not isinstance(found, InLoop):
        raise MethodError(
            f"{getattr(found, 'slug', found)} does not train in a loop; random-pruning, set, rigl and gradual-magnitude do. "
            "To train on what another method kept: fewer.prune(model, ...), then fewer.attach(model, optimizer)."
        )
    changes: dict[str, Any] = {} if seed is None else {"seed": seed}
    if allocation is not None:
        changes["allocation"] = parse_allocation(allocation)
    return dataclasses.replace(found, **changes)


def _given(
    model: nn.Module,
    masks: Mapping[str, Selection | Tensor] | None,
    state: Mapping[str, Any] | None,
    include: Names,
    exclude: Names,
) -> Masks:
    """The masks that are there already, of the layers that are wanted. Where a state comes, it has them: names matter."""
    if state is not None:
        if not isinstance(state.get("masks"), Mapping):
            raise ResumeError("the state is not one of masked training: it has no masks.")
        names = list(state["masks"])
        return _whole({n: layer.module.weight for n, layer in find_layers(model, names, embeddings=True).items()})
    found = masks if masks is not None else getattr(getattr(model, "fewer", None), "selections", None)
    if not found:
        raise MethodError(
            'there is no mask to hold: name a method and a density, such as "rigl", density=0.1, prune the model first '
            "(fewer.prune), or give masks=."
        )
    devices = {name: parameter.device for name, parameter in model.named_parameters()}
    wanted, unwanted = ((names,) if isinstance(names, str) else tuple(names) for names in (include, exclude))
    return {
        name: (mask.mask if isinstance(mask, Selection) else mask).bool().to(devices.get(f"{name}.weight", "cpu"))
        for name, mask in found.items()
        if any(fnmatchcase(name, pattern) for pattern in wanted) and not any(fnmatchcase(name, pattern) for pattern in unwanted)
    }


def _whole(weights: Mapping[str, Tensor]) -> Masks:
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}


def _path(chosen: InLoop, asked: Schedule | Density | float, steps: int | None) -> Schedule:
    """How the density moves."""
    if isinstance(asked, Schedule):
        path = asked
    else:
        share = asked if isinstance(asked, Density) else Density(asked)
        path = chosen.schedule(share.share, steps or 1)
        if steps is None and path.start != path.end:
            raise ScheduleError(f"{chosen.slug} needs steps=, the optimiser steps of the whole training, or a schedule.")
    if path.start < path.end:
        raise ScheduleError(f"the density cannot rise while training, as it does from {path.start} to {path.end}.")
    if steps is not None and path.finish > steps:
        raise ScheduleError(f"the schedule reaches its end at step {path.finish}, and the training has {steps}.")
    return path


def _horizon(chosen: InLoop | None, rule: Rule | None, path: Schedule, steps: int | None, asked: Any) -> int:
    """Steps of the whole training, once it is sure that the rule does something within them."""
    if chosen is None or rule is None:
        if chosen is not None and asked is None:
            raise ScheduleError(f"{chosen.slug} needs a density or a schedule.")
        return steps or max(path.finish, 1)
    if steps is None and rule.needs_steps:
        raise ScheduleError(
            f"{chosen.slug} needs steps=, the optimiser steps of the whole training: its updates move less and less."
        )
    horizon = steps or max(path.finish, 1)
    if not any(rule.due(step, horizon) for step in range(1, horizon + 1)):
        raise ScheduleError(
            f"{chosen.slug} would move nothing within {horizon} steps: its updates are further apart. Give the method itself "
            "with another rhythm, such as RigL(updates=Updates(every=10)): some 30 updates a training are usual."
        )
    return horizon
