"""Bytes on disk, and the bytes that a mask could save in each stored form."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fewer.errors import MeasureError

if TYPE_CHECKING:
    from jaxtyping import Bool
    from torch import Tensor

_GROUPS = (2, 4, 8, 16)
_BLOCKS = (4, 8, 16, 32, 64, 128)
_HEAD = 128  # rows looked at first; a multiple of every block


def disk_bytes(path: str | os.PathLike[str]) -> int:
    """Bytes of a file, or of all files under a folder. Links are followed to files; one file counts once.

    Raises:
        MeasureError: nothing is there.
    """
    root = Path(path)
    if root.is_file():
        return root.stat().st_size
    if not root.is_dir():
        raise MeasureError(f"{root} is neither a file nor a folder; give the path that was saved to.")
    files = [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
    stats = [file.stat() for file in files if file.is_file()]
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in stats}.values())


def storage_forms(mask: Bool[Tensor, "rows columns ..."], value_bits: int = 32) -> dict[str, int]:
    """Bytes that this mask and its kept values take in each form that can hold them exactly.

    The smallest is what storing could buy; a form that does not fit the mask is left out.

    - `dense`: every value, kept or not.
    - `bitmask`: one bit a position, and the kept values.
    - `csr`: kept values, a column each of 16 bits (32 above 65,536 columns), a 32-bit offset a row and one more (64
      bits from 2**31 kept values).
    - `n:m`, such as `2:4`: where every m inputs in a row keep at most n, and n is at most half of m: n values and n
      codes of ceil(log2 m) bits a group; of m = 2, 4, 8, 16 the smallest.
    - `rows`, `columns`: where rows or columns are kept whole: the rest dense, and one bit a row or column.
    - `block bxb`: where square tiles are kept whole: their values, a 16-bit block column each (32 above 65,536 of
      them), a 32-bit offset a block row and one more; of b = 4 ... 128 the smallest.

    Args:
        mask: True = kept; dimensions after the first are laid out as columns (a convolution's input and kernel).
        value_bits: bits of one value.

    Raises:
        MeasureError: not a boolean tensor of two or more dimensions with a position in it, or value_bits below 1.
    """
    import torch

    if mask.dtype is not torch.bool or mask.ndim < 2 or mask.numel() == 0:
        raise MeasureError(f"a mask of {mask.dtype} {tuple(mask.shape)}: give a boolean tensor [rows, columns].")
    if value_bits < 1:
        raise MeasureError(f"value_bits is {value_bits}; a value has at least 1 bit.")
    mask = mask.flatten(1)
    rows, columns = mask.shape
    kept = int(mask.count_nonzero())
    forms = {
        "dense": _whole(mask.numel() * value_bits),
        "bitmask": _whole(mask.numel()) + _whole(kept * value_bits),
        "csr": _csr(kept, value_bits, entries=kept, rows=rows, columns=columns),
    }
    for name, axis, length in (("rows", 1, rows), ("columns", 0, columns)):
        if bool((mask.any(axis) == mask.all(axis)).all()):
            forms[name] = _whole(kept * value_bits) + _whole(length)
    return forms | _n_of_m(mask, value_bits) | _blocks(mask, kept, value_bits)


def _n_of_m(mask: Bool[Tensor, "rows columns"], value_bits: int) -> dict[str, int]:
    found = {}
    for m in _GROUPS:
        if mask.shape[1] % m == 0:
            # The first rows rule most masks out.
            n = _most(mask[:_HEAD], m)
            n = max(1, _most(mask, m)) if 2 * n <= m else m
            if 2 * n <= m:
                slots = mask.numel() // m * n
                found[f"{n}:{m}"] = _whole(slots * value_bits) + _whole(slots * math.ceil(math.log2(m)))
    return _smallest(found)


def _blocks(mask: Bool[Tensor, "rows columns"], kept: int, value_bits: int) -> dict[str, int]:
    found = {}
    for b in _BLOCKS:
        if mask.shape[0] % b == 0 and mask.shape[1] % b == 0:
            if _opened(mask[:_HEAD], b) is None:
                break  # a larger tile is made of these
            opened = _opened(mask, b)
            if opened is None:
                break
            rows, columns = opened.shape
            found[f"block {b}x{b}"] = _csr(kept, value_bits, entries=kept // b**2, rows=rows, columns=columns)
    return _smallest(found)


def _most(mask: Bool[Tensor, "rows columns"], m: int) -> int:
    """Most kept of any m consecutive inputs."""
    return int(mask.unflatten(1, (-1, m)).count_nonzero(-1).max())


def _opened(mask: Bool[Tensor, "rows columns"], b: int) -> Bool[Tensor, "rows columns"] | None:
    """Which b x b tiles are kept; None where one is neither kept nor dropped whole."""
    tiles = mask.unflatten(1, (-1, b)).unflatten(0, (-1, b)).transpose(1, 2).flatten(2)
    opened = tiles.any(-1)
    return opened if bool((opened == tiles.all(-1)).all()) else None


def _csr(kept: int, value_bits: int, entries: int, rows: int, columns: int) -> int:
    column = 2 if columns <= 2**16 else 4
    offset = 4 if entries < 2**31 else 8
    return _whole(kept * value_bits) + entries * column + (rows + 1) * offset


def _smallest(found: dict[str, int]) -> dict[str, int]:
    return dict([min(found.items(), key=lambda form: form[1])]) if found else {}


def _whole(bits: int) -> int:
    return (bits + 7) // 8
