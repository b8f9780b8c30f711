"""CATS (Lee et al. 2024, arXiv 2404.08763): neurons of a gated MLP whose gate is small are dropped."""

from dataclasses import dataclass
from typing import ClassVar

from fewer.activations.method import InputMethod
from fewer.core import register


@register
@dataclass(frozen=True)
class CATS(InputMethod):
    """Scores |activation(gate)_j|; a dropped neuron needs neither its row of `up` nor its column of `down`.

    Gates and attention stay dense, so that a density of neurons d reads more than d of the weights.
    """

    slug: ClassVar[str] = "cats"
