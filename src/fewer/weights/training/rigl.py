"""RigL (Evci et al. 2020, arXiv 1911.11134): weak weights make room for those that the loss asks for."""

from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fewer.core import register
from fewer.core.method import Phase
from fewer.errors import ScoreError
from fewer.weights.training.moment import Moment
from fewer.weights.training.rewire import Rewire
from fewer.weights.training.scratch import FromScratch
from fewer.weights.training.updates import Updates


@register
@dataclass(frozen=True)
class RigL(FromScratch):
    """Drops the smallest |w|, grows where the dense gradient is largest (alg. 1). An update's batch also takes its step."""

    slug: ClassVar[str] = "rigl"
    phase: ClassVar[Phase] = "during"

    updates: Updates = field(default=Updates())

    def score(self, moment: Moment) -> Float[Tensor, "..."]:
        if moment.gradient is None:
            raise ScoreError(f"RigL grows {moment.name} by its gradient, and there is none: call backward() before step().")
        return moment.gradient.abs()

    def rule(self) -> Rewire:
        return Rewire(self.score, self.updates, by_gradient=True)
