"""A method for sparse inputs: it scores the inputs of a linear layer anew for every token."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fewer.core import Method


class Weights(NamedTuple):
    """A linear layer, or several that read one input, as a method sees it."""

    name: str
    """Dotted name; it also salts the noise of random twins."""
    norms: Float[Tensor, " in"]
    """||W[:, j]||_2 of each input's weights."""


class Split(NamedTuple):
    """How a layer's budget is spent."""

    inputs: float
    """Share of the inputs that go through the weights."""
    rank: int
    """Of the low-rank copy that the other inputs go through."""


@dataclass(frozen=True)
class InputMethod(Method):
    """score -> threshold -> apply, for the inputs of a linear layer.

    The threshold is fixed once: below it lie as many scores of the calibration data, over all tokens and inputs together, as
    the budget drops. A token keeps more or fewer inputs than another. A method overrides `factors` where its score is a
    multiple of |x|, `score` and `thresholds` where it is not, `split` where it spends part of its budget otherwise.
    """

    needs_data: ClassVar[bool] = True
    needs_pretrained: ClassVar[bool] = True

    def score(self, x: Float[Tensor, "*tokens in"], layer: Weights) -> Float[Tensor, "*tokens in"]:
        """At least 0; larger = keep."""
        return x.abs() * self.factors(layer).to(x.dtype)

    def factors(self, layer: Weights) -> Float[Tensor, " in"]:
        """What |x| is multiplied by in the score."""
        return torch.ones_like(layer.norms)

    def thresholds(self, layer: Weights, threshold: float) -> Float[Tensor, " in"] | None:
        """The threshold of the score as one of |x| for each input; None where the score is no multiple of |x|."""
        return None if self.kind == "random" else threshold / self.factors(layer)

    def split(self, shape: tuple[int, int], density: float) -> Split:
        """How a layer (out, in) spends a density: the share of its weights that are read for a token."""
        return Split(density, 0)
