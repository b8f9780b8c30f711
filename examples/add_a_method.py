"""A method of your own in thirty lines: registered, then held against dense, random and Wanda."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

import fewer
from fewer.core import register
from fewer.weights.pruner import Pruner
from fewer.weights.seen import InputNorm


@register
@dataclass(frozen=True)
class RelativeImportance(Pruner):
    """Scores (|W| / row sum + |W| / column sum) * ||x||^power, after RIA (Zhang et al., ICLR 2024, Plug-and-Play)."""

    slug: ClassVar[str] = "relative-importance"
    statistics: ClassVar[type[InputNorm]] = InputNorm
    needs_data: ClassVar[bool] = True

    power: float = 0.5

    def score(self, weight: Float[Tensor, "out in"], seen: InputNorm) -> Float[Tensor, "out in"]:
        size = weight.abs()
        share = size / size.sum(1, keepdim=True) + size / size.sum(0, keepdim=True)
        return share.nan_to_num(0) * seen.norm**self.power  # an empty row or column has no share


if __name__ == "__main__":
    fewer.compare("relative-importance", "wanda", task="digits", budgets=[0.2, 0.1], seeds=3).show()
