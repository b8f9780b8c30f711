"""Drop and grow: the step of all dynamic sparse training (Mocanu et al. 2018; Evci et al. 2020, arXiv 1911.11134, alg. 1)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewer.core import checked
from fewer.core.topk import keep_largest
from fewer.errors import SelectionError
from fewer.weights.training.moment import Masks, Moment
from fewer.weights.training.rule import Renewal, Rule
from fewer.weights.training.updates import Updates


def rewired(
    weight: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"], growth: Float[Tensor, "*shape"], count: int
) -> tuple[Bool[Tensor, "*shape"], Bool[Tensor, "*shape"]]:
    """Drop the `count` active weights of smallest magnitude, then grow the `count` free positions of largest `growth`.

    Positions just dropped are free too. One that grows again was not dropped after all and keeps its weight, as in the authors'
    code (`reinit_when_same=False`) and in rigl-torch. As many weights are active afterwards as before.

    Returns:
        The new mask, and which of its positions are new: they start at zero.

    Raises:
        SelectionError: fewer than `count` weights are active.
        ScoreError: weights or growth scores that are not finite.
    """
    alive = int(mask.sum())
    if not 0 <= count <= alive:
        raise SelectionError(f"{count} of {alive} active weights cannot move; allowed: 0 to {alive}.")
    magnitude = torch.where(mask, checked(weight, "weights").abs(), -1.0)
    kept = keep_largest(magnitude.reshape(1, -1), alive - count).view(mask.shape)
    free = torch.where(kept, -math.inf, checked(growth, "growth scores").to(weight))
    grown = keep_largest(free.reshape(1, -1), count).view(mask.shape)
    return kept | grown, grown & ~mask


@dataclass(frozen=True)
class Rewire(Rule):
    """In every layer, weights of small magnitude make room for positions of high score. A layer's count never changes."""

    score: Callable[[Moment], Tensor]
    """Growth score of all positions of a layer, larger = grow."""
    updates: Updates
    by_gradient: bool = False
    """Does the score read the dense gradient?"""

    def due(self, step: int, steps: int) -> bool:
        return self.updates.share(step, steps) > 0

    def reads_gradient(self, step: int, steps: int) -> bool:
        return self.by_gradient and self.due(step, steps)

    def renew(self, layers: Mapping[str, Moment], masks: Masks, step: int, steps: int) -> Renewal:
        share = self.updates.share(step, steps)
        found = {
            name: rewired(layer.weight, masks[name], self.score(layer), int(share * int(masks[name].sum())))
            for name, layer in layers.items()
        }
        return Renewal({n: mask for n, (mask, _) in found.items()}, {n: new for n, (_, new) in found.items()})
