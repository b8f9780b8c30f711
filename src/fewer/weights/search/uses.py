"""Multiply-adds of a sub-network."""

import threading
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from fewer.weights.training.moment import Masks
from fewer.weights.training.problem import uses_of

_KNOWN: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], dict[str, int]]] = WeakKeyDictionary()
_COUNTING = threading.Lock()  # counting puts hooks on the network for a moment


def forward_macs(parent: nn.Module, inputs: Tensor, masks: Masks) -> int:
    """Multiply-adds that one sample of `inputs` takes in the masked layers, one for each use of a weight that is kept."""
    with _COUNTING:
        known, shape = _KNOWN.setdefault(parent, {}), tuple(inputs.shape[1:])
        if shape not in known:
            known[shape] = uses_of(parent, inputs[:1])
    return sum(known[shape].get(name, 0) * int(mask.count_nonzero()) for name, mask in masks.items())
