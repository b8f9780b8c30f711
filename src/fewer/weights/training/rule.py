"""A rule: when masks are renewed during training, and how."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

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

    def due(self, step: int, steps: int) -> bool:
        """Are the masks renewed after `step` of `steps`?"""
        raise NotImplementedError

    def reads_gradient(self, step: int, steps: int) -> bool:
        """Does that renewal need the gradient of inactive weights? It costs a dense weight gradient."""
        return False

    def renew(self, layers: Mapping[str, Moment], masks: Masks, step: int, steps: int) -> Renewal:
        """New masks from the layers as they are; changes neither."""
        raise NotImplementedError
