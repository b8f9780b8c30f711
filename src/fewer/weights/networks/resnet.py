"""Residual networks for small images (He et al. 2016, arXiv 1512.03385, section 4.2)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from fewer.errors import ModelError
from fewer.weights.networks.network import ImageShape, Network


@dataclass(frozen=True)
class CifarResNet(Network):
    """Three stages of (depth - 2) / 6 blocks at width, 2 width and 4 width. ResNet-20 at width 16 has 0.27 million parameters.

    Where a block changes shape its shortcut is a 1x1 convolution with batch norm.
    """

    depth: int = 20
    """Layers with weights on the longest path: 8, 14, 20, 32, 44, 56, 110, ..."""

    def build(self, width: int, shape: ImageShape, classes: int) -> nn.Sequential:
        blocks, rest = divmod(self.depth - 2, 6)
        if rest or blocks < 1 or width < 1:
            raise ModelError(
                f"a CIFAR ResNet is 6n + 2 layers deep (8, 14, 20, 32, ...) and 1 wide or more, not {self.depth} x {width}."
            )
        stages, inputs = [], width
        for stage in range(3):
            outputs = width * 2**stage
            first = Block(inputs, outputs, stride=1 if stage == 0 else 2)
            stages.append(nn.Sequential(first, *(Block(outputs, outputs) for _ in range(blocks - 1))))
            inputs = outputs
        stem = nn.Sequential(nn.Conv2d(shape[0], width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        return nn.Sequential(stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


@dataclass(frozen=True)
class CifarResNetByDepth(Network):
    """The same with its depth for a size, so that arms of several depths can stand in one comparison."""

    width: int = 16

    def build(self, width: int, shape: ImageShape, classes: int) -> nn.Sequential:
        return CifarResNet(depth=width).build(self.width, shape, classes)


class Block(nn.Module):
    """relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))"""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "samples in height width"]) -> Float[Tensor, "samples out h w"]:
        inner = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        return relu(inner + self.shortcut(x))
