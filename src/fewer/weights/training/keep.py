"""Setting to zero, in place and at the speed of memory, what a mask drops."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def bits_of(mask: Bool[Tensor, "*shape"], like: Tensor) -> Int[Tensor, "*shape"]:
    """The mask as integers as wide as the entries of `like`, in its layout: all bits set where True, none elsewhere."""
    return torch.zeros_like(like, dtype=INTEGERS[like.element_size()]).masked_fill_(mask, -1)


def keep_(tensor: Tensor, bits: Int[Tensor, "..."]) -> None:
    """Set every entry that `bits` does not keep to +0, also one that is NaN or infinite; leave the others bit for bit.

    On a CPU this runs at the memory's speed, and 4 to 6 times as fast as masked_fill_ or a product with a mask of bools.
    """
    tensor.detach().view(bits.dtype).bitwise_and_(bits)
