"""Wanda (Sun et al. 2023, arXiv 2306.11695): keep the weights whose magnitude times input norm is largest."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fewer.core import register
from fewer.weights.pruner import Pruner
from fewer.weights.seen import InputNorm


@register
@dataclass(frozen=True)
class Wanda(Pruner):
    """Scores |W| * ||x||_2 (eq. 1), compared within each output row; no weight is changed.

    Needs a calibration walk. Good from 40 to 60% sparsity of a language model; above, see `sparsegpt`.
    """

    slug: ClassVar[str] = "wanda"
    statistics: ClassVar[type[InputNorm]] = InputNorm
    needs_data: ClassVar[bool] = True

    def score(self, weight: Float[Tensor, "out in"], seen: InputNorm) -> Float[Tensor, "out in"]:
        return weight.abs().mul_(seen.norm)
