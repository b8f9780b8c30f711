"""SET (Mocanu et al. 2018, arXiv 1707.04780): weak weights make room for random ones."""

from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fewer.core import noise, register
from fewer.core.method import Phase
from fewer.weights.training.moment import Moment
from fewer.weights.training.rewire import Rewire
from fewer.weights.training.scratch import FromScratch
from fewer.weights.training.updates import Updates


@register
@dataclass(frozen=True)
class SET(FromScratch):
    """Drops the smallest |w|, grows at random. The moving share falls by a cosine, as in RigL (the paper keeps it fixed)."""

    slug: ClassVar[str] = "set"
    phase: ClassVar[Phase] = "during"

    updates: Updates = field(default=Updates())

    def score(self, moment: Moment) -> Float[Tensor, "..."]:
        return noise(moment.weight.shape, self.seed, "grow", moment.name, moment.step)

    def rule(self) -> Rewire:
        return Rewire(self.score, self.updates)
