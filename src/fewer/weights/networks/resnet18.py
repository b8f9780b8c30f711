"""ResNet-18 for small images: four stages of two blocks, a 3 x 3 stem without pooling."""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from fewer.errors import ModelError
from fewer.weights.networks.network import ImageShape, Network
from fewer.weights.networks.resnet import Block


@dataclass(frozen=True)
class ResNet18(Network):
    """Stages at width, 2, 4 and 8 widths. At width 64 it has 11.2 million parameters, the network of most CIFAR-100 tables."""

    def build(self, width: int, shape: ImageShape, classes: int) -> nn.Sequential:
        if width < 1:
            raise ModelError(f"a ResNet-18 is at least 1 wide, not {width}.")
        stem = nn.Sequential(nn.Conv2d(shape[0], width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        sides = [width, width, 2 * width, 4 * width, 8 * width]
        stages = [
            nn.Sequential(Block(inputs, outputs, stride=2 if stage else 1), Block(outputs, outputs))
            for stage, (inputs, outputs) in enumerate(pairwise(sides))
        ]
        return nn.Sequential(stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(sides[-1], classes))
