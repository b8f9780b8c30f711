"""Wide residual networks (Zagoruyko & Komodakis 2016, arXiv 1605.07146)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from fewer.errors import ModelError
from fewer.weights.networks.network import ImageShape, Network


@dataclass(frozen=True)
class WideResNet(Network):
    """Three stages of (depth - 4) / 6 pre-activation blocks at 16, 32 and 64 times the width, which is the paper's k.

    WRN-28-10 has 36.5 million parameters.
    """

    depth: int = 28
    """10, 16, 22, 28, 40, ..."""

    def build(self, width: int, shape: ImageShape, classes: int) -> nn.Sequential:
        blocks, rest = divmod(self.depth - 4, 6)
        if rest or blocks < 1 or width < 1:
            raise ModelError(
                f"a wide ResNet is 6n + 4 layers deep (10, 16, 22, ...) and 1 wide or more, not {self.depth} x {width}."
            )
        stages, inputs = [], 16
        for stage in range(3):
            outputs = 16 * width * 2**stage
            first = PreActivationBlock(inputs, outputs, stride=1 if stage == 0 else 2)
            stages.append(nn.Sequential(first, *(PreActivationBlock(outputs, outputs) for _ in range(blocks - 1))))
            inputs = outputs
        head = (nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
        return nn.Sequential(nn.Conv2d(shape[0], 16, 3, padding=1, bias=False), *stages, *head)


class PreActivationBlock(nn.Module):
    """conv(relu(norm(conv(relu(norm(x)))))) + x; where the shape changes, the shortcut is a convolution of relu(norm(x))."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        changes = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else None

    def forward(self, x: Float[Tensor, "samples in height width"]) -> Float[Tensor, "samples out h w"]:
        active = relu(self.norm1(x))
        inner = self.conv2(relu(self.norm2(self.conv1(active))))
        return inner + (x if self.shortcut is None else self.shortcut(active))
