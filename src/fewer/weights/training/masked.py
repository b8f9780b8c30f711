"""Masks that hold while an optimiser steps, on any module."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fewer.errors import ModelError
from fewer.weights.training.moment import Masks, Moment, maskable
from fewer.weights.training.record import Record, step_macs
from fewer.weights.training.rule import Rule


class MaskedTraining:
    """Keeps masks on a model while `optimizer` trains it, and renews them by a rule. The training loop stays as it is.

    Inactive weights and their optimiser state are zero from here on and after every `optimizer.step()`. Their gradients
    are set to zero before the step, after the rule has read them. Until then they are the dense ones: a norm to clip
    by counts them all. Gradients must be there when `step` is called; an optimiser that asks a closure for them takes
    them unmasked. Use as a context, or call `close` when training is over.

    Args:
        masks: layer name -> mask of the weight's shape.
        rule: renews the masks; None keeps them as they are.
        steps: optimiser steps that the training will take: the horizon of the rule's schedule.
        record: where cost and positions are noted.
        uses: see `step_macs`.

    Raises:
        ModelError: a mask for a layer that the model lacks, or of another shape than its weight.
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
    ) -> None:
        weights = maskable(model)
        for name, mask in masks.items():
            if name not in weights or mask.shape != weights[name].shape:
                has = tuple(weights[name].shape) if name in weights else f"only {', '.join(weights)}"
                raise ModelError(f"a mask of shape {tuple(mask.shape)} is given for {name}; the model has {has}.")
        self.masks: Masks = dict(masks)
        self.step = 0
        self._weights = {name: weights[name] for name in masks}
        self._optimizer, self._rule, self._steps = optimizer, rule, steps
        self._others = sum(p.numel() for p in model.parameters()) - sum(w.numel() for w in self._weights.values())
        self.record = record or Record(sum(w.numel() for w in self._weights.values()))
        self._uses = dict(uses or {})
        self._gradients: dict[str, Tensor] = {}
        self._hooks = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        self._take(self.masks)

    def saw(self, samples: int) -> None:
        """Note that the coming step trains on so many samples."""
        self.record.macs += samples * (self._dense_macs if self._reads(self.step + 1) else self._sparse_macs)

    def close(self) -> None:
        """Let go of the optimiser. The masks stay where they are, and nothing holds them any more."""
        for hook in self._hooks:
            hook.remove()

    def __enter__(self) -> "MaskedTraining":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _reads(self, step: int) -> bool:
        return self._rule is not None and self._rule.reads_gradient(step, self._steps)

    @torch.no_grad()
    def _before_step(self, *_: Any) -> None:
        reads = self._reads(self.step + 1)
        for name, weight in self._weights.items():
            if weight.grad is not None:
                if reads:
                    self._gradients[name] = weight.grad.clone()
                weight.grad.mul_(self.masks[name])

    @torch.no_grad()
    def _after_step(self, *_: Any) -> None:
        self.step += 1
        self._zero({name: ~mask for name, mask in self.masks.items()})
        if self._rule is not None and self._rule.due(self.step, self._steps):
            layers = {
                name: Moment(name, weight.detach(), self._gradients.get(name), self.step)
                for name, weight in self._weights.items()
            }
            masks, fresh = self._rule.renew(layers, self.masks, self.step, self._steps)
            self.record.renew(self.masks, masks)
            self._zero(fresh)
            self._take(masks)
        self._gradients.clear()

    @torch.no_grad()
    def _take(self, masks: Masks) -> None:
        self.masks = masks
        self._zero({name: ~mask for name, mask in masks.items()})
        self._sparse_macs = step_macs(masks, self._uses)
        self._dense_macs = step_macs(masks, self._uses, dense_gradient=True)
        self.record.hold(masks, self._others)

    def _zero(self, where: Masks) -> None:
        """Set weights and all optimiser state of their shape to zero at these positions."""
        for name, positions in where.items():
            weight = self._weights[name]
            weight.detach().masked_fill_(positions, 0)
            for state in self._optimizer.state.get(weight, {}).values():
                if isinstance(state, Tensor) and state.shape == weight.shape:
                    state.masked_fill_(positions, 0)
