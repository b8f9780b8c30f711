"""What a network is before it is built: its depth and kind, for any width."""

from dataclasses import dataclass

from torch import nn

ImageShape = tuple[int, int, int]
"""channels, height, width"""


@dataclass(frozen=True)
class Network:
    """Parameters of an architecture. All weights that it draws are those of linear and convolution layers, which training
    draws anew from its own seed; whatever else it has starts at a constant."""

    def build(self, width: int, shape: ImageShape, classes: int) -> nn.Module:
        """A module that maps images [samples, *shape] to logits [samples, classes].

        Raises:
            ModelError: a width, shape or depth that this architecture cannot have.
        """
        raise NotImplementedError
