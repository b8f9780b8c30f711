"""A rule: when masks are renewed during training, and how."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from fewer.weights.training.moment import Masks, Moment


class Renewal(NamedTuple):
    """Masks after a renewal."""

    masks: Masks
    """The new masks."""
    fresh: Masks
    """Active positions that start anew: weight and optimiser state are set to zero there. May be empty."""


@dataclass(frozen=True)
class Rule:
    """Renews masks while a network trains. `step` counts the optimiser steps that are done, so it starts at 1."""

    needs_steps: ClassVar[bool] = True
    """Does it ask how many steps the training takes in all?"""

    def due(self, step: int, steps: int) -> bool:
        """Are the masks renewed after `step` of `steps`?"""
        raise NotImplementedError

    def reads_gradient(self, step: int, steps: int) -> bool:
        """Does that renewal need the gradient of inactive weights? It costs a dense weight gradient."""
        return False

    def renew(self, layers: Mapping[str, Moment], masks: Masks, step: int, steps: int) -> Renewal:
        """New masks from the layers as they are; changes neither."""
        raise NotImplementedError


@dataclass(frozen=True)
class InTurn(Rule):
    """One rule, then the next on the masks that it left: a falling density, say, and what moves at each density."""

    rules: tuple[Rule, ...]

    def due(self, step: int, steps: int) -> bool:
        return any(rule.due(step, steps) for rule in self.rules)

    def reads_gradient(self, step: int, steps: int) -> bool:
        return any(rule.reads_gradient(step, steps) for rule in self.rules)

    def renew(self, layers: Mapping[str, Moment], masks: Masks, step: int, steps: int) -> Renewal:
        fresh: Masks = {}
        for rule in self.rules:
            if rule.due(step, steps):
                masks, started = rule.renew(layers, masks, step, steps)
                fresh |= started
        return Renewal(masks, fresh)
