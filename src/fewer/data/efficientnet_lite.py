"""EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946; the Lite variant has no squeeze-and-excitation and uses ReLU6).

Its module names are those of the published weights. Convolutions pad as TensorFlow's SAME does: the odd pixel after.
"""

from jaxtyping import Float
from torch import Tensor, nn

_STAGES = (
    # repeats, kernel, stride, expansion, input and output channels
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


class SameConv(nn.Conv2d):
    """A convolution without bias whose output side is the input's divided by the stride, rounded up."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pads as needed, then convolves."""
        pads: list[int] = []
        for side, kernel, stride in zip(reversed(x.shape[-2:]), self.kernel_size, self.stride, strict=True):
            short = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [short // 2, short - short // 2]
        return super().forward(nn.functional.pad(x, pads))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class MBConv(nn.Module):
    """Expand, convolve each channel, project; the input is added when the shape allows."""

    def __init__(self, kernel: int, stride: int, expansion: int, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self._expand_conv = SameConv(inputs, inner, 1) if expansion > 1 else None
        self._bn0 = _norm(inner) if expansion > 1 else None
        self._depthwise_conv = SameConv(inner, inner, kernel, stride, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = SameConv(inner, outputs, 1)
        self._bn2 = _norm(outputs)

    def forward(self, x: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n outputs h2 w2"]:
        """One block."""
        inner = x
        if self._expand_conv is not None and self._bn0 is not None:
            inner = nn.functional.relu6(self._bn0(self._expand_conv(inner)))
        inner = nn.functional.relu6(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        return x + inner if self.residual else inner


class EfficientNetLite0(nn.Module):
    """The classifier of ImageNet's 1,000 classes."""

    side = 224
    """Height and width of the pictures it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, stride=2)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList(
            MBConv(kernel, stride if i == 0 else 1, expansion, inputs if i == 0 else outputs, outputs)
            for repeats, kernel, stride, expansion, inputs, outputs in _STAGES
            for i in range(repeats)
        )
        self._conv_head = SameConv(320, 1280, 1)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1000"]:
        """Logits of pictures that `prepare` made."""
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = nn.functional.relu6(self._bn1(self._conv_head(x)))
        return self._fc(x.mean((2, 3)))

    @staticmethod
    def prepare(pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """From [0, 1] to the range it was trained on, (255 x - 127) / 128."""
        return (pixels * 255 - 127) / 128
