"""Linear layers that skip small inputs while decoding, and gates that drop small neurons."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from fewer.activations.site import Group, Site, When
from fewer.errors import ModelError


class SparseLinear(nn.Linear):
    """Takes the place of an `nn.Linear`, with its parameters, name and state dict.

    Up to `when.rows` rows of input are sparse, multiplied by the kernel where there is one. Of longer inputs the first
    `when.dense_prompt` of the tokens are dense. Where a gradient is asked for, torch computes the same.

    Raises:
        ModelError: in a forward pass after the weights were changed, converted or moved.
    """

    def __init__(self, of: nn.Linear, group: Group, site: Site, when: When):
        nn.Module.__init__(self)
        self.in_features, self.out_features = of.in_features, of.out_features
        self.weight, self.bias = of.weight, of.bias
        self.group, self.site, self.when = group, site, when
        self.place = next(place for place, layer in enumerate(group.layers) if layer is of)
        self._in_site = next(place for place, layer in enumerate(site.layers) if layer is of)
        self._name = site.names[self._in_site]
        self._as_calibrated = _state(of.weight)
        self.train(of.training)

    def forward(self, x: Float[Tensor, "... in"]) -> Float[Tensor, "... out"]:
        weight, when = self.weight, self.when
        if _state(weight) != self._as_calibrated:
            raise ModelError(
                f"{self._name} was changed, converted or moved after its inputs were calibrated. Call restore(model), change "
                "it, then sparsify it again."
            )
        if x.numel() <= when.rows * self.in_features:
            out = self._sparse(x)
        elif when.dense_prompt >= 1:
            return linear(x, weight, self.bias)
        elif when.dense_prompt <= 0 or x.ndim < 2:
            out = self._sparse(x, many=True)
        else:
            dense = -int(-when.dense_prompt * x.shape[-2] // 1)  # rounded up
            start, rest = x.split([dense, x.shape[-2] - dense], -2)
            out = torch.cat([linear(start, weight), self.site.masked(rest, self._in_site)], -2)
        return out if self.bias is None else out + self.bias

    def _sparse(self, x: Tensor, many: bool = False) -> Tensor:
        gradient = torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)
        if many or gradient or not self.group.packed or self.site.tally is not None:
            return self.site.masked(x, self._in_site)
        return self.group.product(x, self.place)

    def plain(self) -> nn.Linear:
        """An ordinary linear layer with the same parameters, stored as usual."""
        layer = nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        layer.weight, layer.bias = self.weight, self.bias
        layer.weight.data = layer.weight.data.contiguous()
        return layer.train(self.training)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._as_calibrated = _state(self.weight)  # a copy counts its changes anew

    def extra_repr(self) -> str:
        split = self.site.split
        return f"{super().extra_repr()}, inputs={split.inputs:.3g}, rank={split.rank}"


class SparseGate(nn.Module):
    """Takes the place of a gated MLP's activation: neurons whose gate is small get zero, for the same tokens as above."""

    def __init__(self, activation: nn.Module, site: Site, when: When):
        super().__init__()
        self.activation, self.site, self.when = activation, site, when

    def forward(self, x: Float[Tensor, "... neurons"]) -> Float[Tensor, "... neurons"]:
        gate = self.activation(x)
        if x.numel() <= self.when.rows * x.shape[-1]:
            return gate * self.site.kept(gate)
        if self.when.dense_prompt >= 1:
            return gate
        dense = 0 if x.ndim < 2 else -int(-self.when.dense_prompt * x.shape[-2] // 1)
        if dense == 0:
            return gate * self.site.kept(gate)
        start, rest = gate.split([dense, gate.shape[-2] - dense], -2)
        return torch.cat([start, rest * self.site.kept(rest)], -2)


def _state(weight: Tensor) -> tuple[int, torch.dtype, torch.device]:
    """What tells a changed weight; torch does not count changes of tensors of inference mode."""
    return (-1 if weight.is_inference() else weight._version), weight.dtype, weight.device
