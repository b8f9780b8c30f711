"""SNIP (Lee et al. 2019, arXiv 1810.02340): keep the weights whose removal would change the loss most."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fewer.core import register
from fewer.weights.gradients import Gradient
from fewer.weights.pruner import Pruner


@register
@dataclass(frozen=True)
class Snip(Pruner):
    """Scores |W * dL/dW| (eq. 5 without its normalisation, which no selection within a layer can see); no weight is changed.

    The gradient is of the model's own loss, summed over the calibration data, at the dense weights. Made for weights at
    initialisation. On a trained model the summed gradient is near zero and says little: there it often loses to random.
    """

    slug: ClassVar[str] = "snip"
    statistics: ClassVar[type[Gradient]] = Gradient
    needs_data: ClassVar[bool] = True

    def score(self, weight: Float[Tensor, "out in"], seen: Gradient) -> Float[Tensor, "out in"]:
        return (weight * seen.gradient).abs()
