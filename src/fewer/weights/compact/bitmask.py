"""A matrix as one bit a position and its kept values, row after row."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from fewer.errors import ModelError

_RAW = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers as wide as a value: numpy has no bfloat16, and bits that are only moved stay as they are."""


class Packed(NamedTuple):
    """What is stored of a matrix."""

    values: Float[Tensor, " kept"]
    """Kept values, row after row; a kept zero is among them."""
    bits: UInt8[Tensor, "out bytes"]
    """Which are kept: eight inputs a byte, lowest bit first; a row's last byte is filled with zeros."""


def pack(matrix: Float[Tensor, "out in"], kept: Bool[Tensor, "out in"]) -> Packed:
    """Kept values and their places. What is not kept is not stored: unpacked, it is zero."""
    raw = matrix.detach().cpu().contiguous().view(_RAW[matrix.element_size()]).numpy()
    mask = kept.cpu().contiguous().numpy()
    values = torch.from_numpy(np.compress(mask.ravel(), raw.ravel())).view(matrix.dtype)
    return Packed(values, torch.from_numpy(np.packbits(mask, axis=-1, bitorder="little")))


def unpack(values: Float[Tensor, " kept"], bits: UInt8[Tensor, "out bytes"], width: int) -> Float[Tensor, "out in"]:
    """The matrix again, bit for bit; `width` is its number of inputs.

    Raises:
        ModelError: bits of another width, set beyond the last input, or not as many as values.
    """
    rows = bits.shape[0]
    if bits.dtype != torch.uint8 or bits.ndim != 2 or bits.shape[1] != (width + 7) // 8:
        raise ModelError(
            f"the bitmask of {rows} x {width} weights takes {(width + 7) // 8} bytes a row, not {list(bits.shape)}."
        )
    mask = np.unpackbits(bits.contiguous().numpy(), axis=-1, bitorder="little")
    if mask[:, width:].any():
        raise ModelError("bits are set beyond the last input of a row.")
    places = np.flatnonzero(mask[:, :width])
    if len(places) != values.numel():
        raise ModelError(f"the bitmask names {len(places)} weights, and {values.numel()} values are stored.")
    matrix = torch.zeros(rows * width, dtype=values.dtype)
    raw = _RAW[values.element_size()]
    matrix.view(raw).numpy()[places] = values.contiguous().flatten().view(raw).numpy()
    return matrix.view(rows, width)


def pack_reference(matrix: Float[Tensor, "out in"], kept: Bool[Tensor, "out in"]) -> Packed:
    """The same in torch, as the layout is defined."""
    padded = torch.nn.functional.pad(kept, (0, -kept.shape[1] % 8)).unflatten(1, (-1, 8))
    return Packed(matrix[kept], (padded * 2 ** torch.arange(8)).sum(-1).to(torch.uint8))


def unpack_reference(values: Float[Tensor, " kept"], bits: UInt8[Tensor, "out bytes"], width: int) -> Float[Tensor, "out in"]:
    """The same in torch."""
    kept = (bits.unsqueeze(-1) >> torch.arange(8) & 1).flatten(1)[:, :width].bool()
    matrix = torch.zeros(kept.shape, dtype=values.dtype)
    matrix[kept] = values
    return matrix
