"""Linear layers that multiply from a compact form where that is faster."""

import logging
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from fewer.kernels.forms import Packed

log = logging.getLogger("fewer.accelerate")


class Stack:
    """The packed weights of one layer, or of several that read the same input and are multiplied in one go.

    The first of them to be called computes all; the others take theirs, if they are called with the same tensor.
    """

    def __init__(self, packed: Packed, heights: Sequence[int], largest: int, smallest: int = 1):
        """`heights`: outputs of each layer, in order; `smallest`, `largest`: rows of input for which the form is used."""
        self.packed, self.heights, self.smallest, self.largest = packed, list(heights), smallest, largest
        self._last: tuple[Any, Sequence[Tensor]] = (lambda: None, ())

    def product(self, x: Float[Tensor, "... in"], place: int) -> Float[Tensor, "... out"]:
        """What the layer at `place` makes of `x`."""
        if len(self.heights) == 1:
            return self.packed.multiply(x)
        made_of, parts = self._last
        if made_of() is not x:
            parts = self.packed.multiply(x).split_with_sizes(self.heights, -1)
            self._last = (weakref.ref(x), parts)
        if place == len(parts) - 1:
            self._last = (lambda: None, ())  # holds no memory between forward passes
        return parts[place]


class FastLinear(nn.Linear):
    """Takes the place of an `nn.Linear`, with its parameters, name and state dict.

    From `stack.smallest` to `stack.largest` rows of input it multiplies from the packed weights; other numbers of rows, and
    whatever needs gradients, go the dense way. Without `keep_dense` there are only the packed weights, and the dense way
    unpacks them each time.
    """

    def __init__(self, of: nn.Linear, stack: Stack, place: int = 0, keep_dense: bool = True):
        nn.Module.__init__(self)
        self.in_features, self.out_features = of.in_features, of.out_features
        self.bias = of.bias
        self.stack, self.place = stack, place
        self.register_parameter("weight", of.weight if keep_dense else None)  # type: ignore[arg-type]
        self._as_packed = version(of.weight)
        self._least, self._most = stack.smallest * self.in_features, stack.largest * self.in_features
        self.train(of.training)

    def forward(self, x: Float[Tensor, "... in"]) -> Float[Tensor, "... out"]:
        if not self._least <= x.numel() <= self._most or not self._usable(x):
            return linear(x, self.dense(), self.bias)
        out = self.stack.product(x, self.place)
        return out if self.bias is None else out + self.bias

    def _usable(self, x: Tensor) -> bool:
        weight = self.weight
        if torch.is_grad_enabled() and (x.requires_grad or (weight is not None and weight.requires_grad)):
            return False
        if weight is None:
            return True
        if version(weight) != self._as_packed:
            log.warning("weights changed after they were packed: the layer is dense from now on. Accelerate the model again.")
            self._most = -1
            return False
        return x.dtype is weight.dtype and x.device == weight.device

    def dense(self) -> Float[Tensor, "out in"]:
        """The weights; unpacked where they are kept in the compact form alone."""
        if self.weight is not None:
            return self.weight
        return self.stack.packed.unpack().split(self.stack.heights)[self.place]

    def plain(self) -> nn.Linear:
        """An ordinary linear layer with the same parameters."""
        layer = nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        layer.weight = nn.Parameter(self.dense(), requires_grad=False) if self.weight is None else self.weight
        layer.bias = self.bias
        return layer.train(self.training)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.weight is None:
            destination[prefix + "weight"] = self.dense()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, form={self.stack.packed.form}, {self.stack.smallest} to {self.stack.largest} rows"


def version(tensor: Tensor) -> int:
    """Counts what was written into it in place; torch does not count that for tensors of inference mode."""
    return -1 if tensor.is_inference() else tensor._version
