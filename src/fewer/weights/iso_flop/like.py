"""New layers in the likeness of a given one."""

from typing import Any

from torch import nn

Plain = nn.Linear | nn.Conv2d


def sized(layer: Plain, inputs: int | None = None, outputs: int | None = None, bias: bool | None = None) -> Plain:
    """A layer that slides as `layer` does, with other numbers of inputs or outputs (channels of a convolution).

    Its initial weights are torch's own, on the device and in the precision of `layer`.
    """
    bias = layer.bias is not None if bias is None else bias
    if isinstance(layer, nn.Linear):
        return nn.Linear(inputs or layer.in_features, outputs or layer.out_features, bias, **_place(layer))
    return nn.Conv2d(
        inputs or layer.in_channels,
        outputs or layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        layer.padding,  # type: ignore[arg-type]
        layer.dilation,  # type: ignore[arg-type]
        bias=bias,
        padding_mode=layer.padding_mode,
        **_place(layer),
    )


def pointwise(layer: Plain, inputs: int) -> Plain:
    """A layer from `inputs` channels to the outputs of `layer`, position by position: linear, or a 1 x 1 convolution."""
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(inputs, layer.out_features, bias, **_place(layer))
    return nn.Conv2d(inputs, layer.out_channels, 1, bias=bias, **_place(layer))


def norm_of(layer: Plain) -> nn.Module:
    """Batch normalisation of a convolution's outputs; nothing for a linear layer."""
    return nn.BatchNorm2d(layer.out_channels, **_place(layer)) if isinstance(layer, nn.Conv2d) else nn.Identity()


def _place(layer: Plain) -> dict[str, Any]:
    return {"device": layer.weight.device, "dtype": layer.weight.dtype}
