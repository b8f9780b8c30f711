"""Masks that hold while an optimiser steps, on any module."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from fewer.core import Selection, Selections
from fewer.errors import MethodError, ModelError
from fewer.weights.layers import Layer, find_layers
from fewer.weights.prune import PrunedLayer, Pruning
from fewer.weights.training.checkpoint import Restored, restored, state_of
from fewer.weights.training.keep import bits_of, keep_
from fewer.weights.training.moment import Masks, Moment, active
from fewer.weights.training.record import Record, step_macs
from fewer.weights.training.rule import Rule
from fewer.weights.training.tree_file import write_tree

Closure = Callable[[], Any]


class MaskedTraining:
    """Keeps masks on a model while `optimizer` trains it, and renews them by a rule: what `fewer.attach` returns.

    The training loop stays as it is. After every step of the optimiser, dropped weights are exactly zero, whatever weight
    decay and momentum would have made of them; a weight that is dropped or grown loses its optimiser state. Gradients of
    dropped weights are zero from the moment they arrive, so that a norm to clip by does not count them; only where the rule
    reads the gradient of all weights (an update of RigL) they stay until the step. A step that a `GradScaler` skips does not
    count.

    Use as a context, or call `close` when training is over. `model.fewer` holds the selections, for `fewer.save`.

    Args:
        masks: layer name -> mask of the weight's shape, on its device.
        rule: renews the masks; None keeps them as they are.
        steps: optimiser steps that the training will take: the horizon of the rule's schedule.
        record: where cost and positions are noted.
        uses: see `step_macs`.
        configuration: plain values that a checkpoint must share to be resumed from.
        resume: the state to go on from (`state_dict`, or what `save` wrote); the names of `masks` then say which layers.

    Raises:
        ModelError: a mask for a layer that the model lacks, or of another shape than its weight; a layer whose weight the
            optimiser does not train.
        MethodError: an optimiser that masks cannot follow.
        ResumeError: see `load_state_dict`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        masks: Masks,
        rule: Rule | None = None,
        steps: int = 1,
        record: Record | None = None,
        uses: Mapping[str, int] | None = None,
        configuration: Mapping[str, Any] | None = None,
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        self._layers = _layers(model, masks)
        self._weights: dict[str, nn.Parameter] = {name: layer.module.weight for name, layer in self._layers.items()}
        self._model, self._given, self._optimizer = model, optimizer, _innermost(optimizer)
        self._rule, self._steps, self._uses = rule, steps, dict(uses or {})
        _check(self._optimizer, self._weights, rule)
        shapes = {name: list(weight.shape) for name, weight in self._weights.items()}
        self.configuration: dict[str, Any] = {**(configuration or {}), "layers": shapes}
        """What was asked for, in plain values."""
        size = sum(weight.numel() for weight in self._weights.values())
        self._others = sum(p.numel() for p in model.parameters()) - size
        self.record = record or Record(size)
        """What training cost and which positions it used."""
        self.done = 0
        """Optimiser steps taken."""
        self._gradients: dict[str, Tensor] = {}
        self._clean: dict[str, tuple[int, int]] = {}
        if resume is None:
            self._take(masks)
        else:
            self.load_state_dict(resume)
        self._hooks = [
            self._optimizer.register_step_pre_hook(self._before_step),
            self._optimizer.register_step_post_hook(self._after_step),
            *(weight.register_post_accumulate_grad_hook(self._arrives(n)) for n, weight in self._trained().items()),
        ]

    @property
    def masks(self) -> Masks:
        """Layer name -> mask in the shape of the weight; True where a weight is active. Do not write to them."""
        return self._masks

    @property
    def density(self) -> float:
        """Share of the masked layers' weights that is active."""
        return active(self._masks) / self.record.size

    @property
    def selections(self) -> Selections:
        """The masks as selections, one bit an entry."""
        return Selections({name: Selection(mask) for name, mask in self._masks.items()})

    def step(self, closure: Closure | None = None) -> Any:
        """Step the optimiser, and with it the masks: the same as `optimizer.step()`."""
        return self._given.step() if closure is None else self._given.step(closure)

    def saw(self, samples: int) -> None:
        """Note that the coming step trains on so many samples, for the count of multiply-adds in `record`."""
        self.record.macs += samples * (self._dense_macs if self._reads(self.done + 1) else self._sparse_macs)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on, beside the states of model and optimiser: tensors and plain values."""
        return state_of(self.configuration, self.done, self._masks, self.record, self._weights)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there. The model must have been loaded, by `model.load_state_dict` and after `attach`, or be in `state`.

        Raises:
            ResumeError: a state that is damaged, of another configuration or model, or of other weights than the model now
                has (when it was loaded before `attach`, for one: give the state to `attach` as `resume=` then). Nothing was
                changed.
        """
        found: Restored = restored(state, self.configuration, self._weights, self._model, self._optimizer)
        self.done, self.record = found.step, found.record
        self._take(found.masks, seen=True)

    def save(self, path: str | Path, whole: bool = True) -> Path:
        """Write one safetensors file to resume from: `fewer.attach(..., resume=path)`. It appears whole or not at all.

        Args:
            whole: with the states of model and optimiser; else the masks' alone, where something else saves those.

        Raises:
            OSError: the folder cannot be written; an older file stays as it was.
            ResumeError: the state of the model or optimiser holds more than tensors and plain values.
        """
        state = self.state_dict()
        if whole:
            state["model"] = dict(self._model.state_dict())
            state["optimizer"] = {"is": type(self._optimizer).__name__, **self._optimizer.state_dict()}
        return write_tree(path, state)

    def close(self) -> None:
        """Let go of the optimiser. The masks stay where they are, and nothing holds them any more."""
        for hook in self._hooks:
            hook.remove()

    def __repr__(self) -> str:
        return f"MaskedTraining({len(self._masks)} layers, density {self.density:.4f}, {self.done} steps done)"

    def __enter__(self) -> "MaskedTraining":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _reads(self, step: int) -> bool:
        return self._rule is not None and self._rule.reads_gradient(step, self._steps)

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: weight for name, weight in self._weights.items() if weight.requires_grad}

    def _arrives(self, name: str) -> Callable[[Tensor], None]:
        """Masks the layer's gradient as soon as it is there, unless the rule is to read all of it."""

        @torch.no_grad()
        def mask(weight: Tensor) -> None:
            if weight.grad is not None and not self._reads(self.done + 1):
                keep_(weight.grad, self._bits[name])
                self._clean[name] = _version(weight.grad)

        return mask

    def _before_step(self, _: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._mask_gradients()
            return None

        def masked() -> Any:  # the gradients come with the closure
            loss = closure()
            self._mask_gradients()
            return loss

        return (args[0], masked), {key: value for key, value in kwargs.items() if key != "closure"}

    @torch.no_grad()
    def _mask_gradients(self) -> None:
        reads = self._reads(self.done + 1)
        for name, weight in self._weights.items():
            if weight.grad is None:
                continue
            if reads:
                self._gradients[name] = weight.grad.clone()
            if self._clean.get(name) != _version(weight.grad):  # not masked on arrival, or written to since
                keep_(weight.grad, self._bits[name])

    @torch.no_grad()
    def _after_step(self, *_: Any) -> None:
        self._clean.clear()
        # A fused optimiser is stepped even where its GradScaler found overflow, and changes nothing then.
        skipped = bool(getattr(self._optimizer, "found_inf", None))
        if not skipped:
            self.done += 1
            # Zeros stay zeros under most optimisers, but not where one mixes entries (Muon) or someone wrote to the weights.
            for name, weight in self._weights.items():
                keep_(weight, self._bits[name])
            if self._rule is not None and self._rule.due(self.done, self._steps):
                self._renew(self._rule)
        self._gradients.clear()

    def _renew(self, rule: Rule) -> None:
        layers = {
            name: Moment(name, weight.detach(), self._gradients.get(name), self.done) for name, weight in self._weights.items()
        }
        masks, fresh = rule.renew(layers, self._masks, self.done, self._steps)
        self.record.renew(self._masks, masks)
        self._zero(fresh)
        self._take(masks)

    @torch.no_grad()
    def _take(self, masks: Masks, seen: bool = False) -> None:
        """Lay these masks on; `seen` when the record knows them."""
        self._masks = masks
        self._bits = {name: bits_of(mask, self._weights[name]) for name, mask in masks.items()}
        self._zero({name: ~mask for name, mask in masks.items()})
        self._sparse_macs = step_macs(masks, self._uses)
        self._dense_macs = step_macs(masks, self._uses, dense_gradient=True)
        if not seen:
            self.record.hold(masks, self._others)
        self._publish()

    def _publish(self) -> None:
        selections = self.selections
        layers = tuple(
            PrunedLayer(name, layer.shape, selections[name].density, seconds=0.0, report={})
            for name, layer in self._layers.items()
        )
        about = {**self.configuration, "density": selections.density, "layers": len(layers), "step": self.done}
        self._model.fewer = Pruning(about, selections, layers, seconds=0.0)  # type: ignore[assignment]

    def _zero(self, where: Masks) -> None:
        """Set weights and all optimiser state of their shape to zero at these positions."""
        for name, positions in where.items():
            weight = self._weights[name]
            weight.detach().masked_fill_(positions, 0)
            for state in self._optimizer.state.get(weight, {}).values():
                if isinstance(state, Tensor) and state.shape == weight.shape:
                    state.masked_fill_(positions, 0)


def _version(gradient: Tensor) -> tuple[int, int]:
    return id(gradient), gradient._version


def _layers(model: nn.Module, masks: Masks) -> dict[str, Layer]:
    there = find_layers(model, include=("*", *masks), embeddings=True)
    for name, mask in masks.items():
        weight = there[name].module.weight if name in there else None
        if weight is None or mask.shape != weight.shape:
            has = f"only {', '.join(there)}" if weight is None else tuple(weight.shape)
            raise ModelError(f"a mask of shape {tuple(mask.shape)} is given for {name}; the model has {has}.")
    return {name: there[name] for name in masks}


def _innermost(optimizer: Any) -> Any:
    """What a wrapper (accelerate's, say) steps."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer


def _check(optimizer: Any, weights: Mapping[str, nn.Parameter], rule: Rule | None) -> None:
    if not isinstance(optimizer, Optimizer):
        raise MethodError(f"masks follow a torch.optim.Optimizer, not {type(optimizer).__name__}.")
    if isinstance(optimizer, LBFGS):
        raise MethodError(
            "LBFGS steps by a history of all weights at once, which masks cannot follow. Use SGD, Adam, AdamW or another "
            "optimiser that keeps its state for each weight."
        )
    owners = [getattr(hook, "__self__", None) for hook in optimizer._optimizer_step_post_hooks.values()]
    others = [owner for owner in owners if isinstance(owner, MaskedTraining)]
    if twice := {id(w) for other in others for w in other._weights.values()} & {id(w) for w in weights.values()}:
        raise MethodError(f"masks are attached to {len(twice)} of these layers already: close() their handle first.")
    stepped = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    for name, weight in weights.items():
        if id(weight) not in stepped and (weight.requires_grad or rule is not None):
            raise ModelError(
                f"{name} is not trained by this optimiser: build it of this model's parameters, after the model was moved, or "
                f'leave the layer out, exclude="{name}".'
            )
