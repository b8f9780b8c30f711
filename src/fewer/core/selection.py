"""A selection: which candidates were chosen, as a mask, as indices or as packed bits."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from fewer.errors import SelectionError


@dataclass(frozen=True, eq=False)
class Selection:
    """Which entries of one tensor are kept."""

    mask: Bool[Tensor, "..."]
    """True where an entry is kept; the shape of what was scored."""
    pattern: str = "unstructured"
    """The pattern it was made with, as the command line spells it."""

    @property
    def kept(self) -> int:
        return int(self.mask.count_nonzero())

    @property
    def density(self) -> float:
        """Share kept, in [0, 1]; 1 for an empty tensor."""
        return self.kept / self.mask.numel() if self.mask.numel() else 1.0

    def indices(self) -> Int[Tensor, " kept"]:
        """Flat indices of the kept entries, ascending."""
        return self.mask.flatten().nonzero().flatten()

    @classmethod
    def from_indices(cls, indices: Int[Tensor, " kept"], shape: tuple[int, ...], pattern: str = "unstructured") -> "Selection":
        """Raises SelectionError for an index outside `shape` or one given twice."""
        mask = torch.zeros(int(np.prod(shape)), dtype=torch.bool)
        if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= len(mask)):
            raise SelectionError(
                f"indices must lie in 0..{len(mask) - 1}; they span {int(indices.min())}..{int(indices.max())}."
            )
        mask[indices] = True
        if int(mask.sum()) != len(indices):
            raise SelectionError(f"{len(indices) - int(mask.sum())} of {len(indices)} indices are given twice.")
        return cls(mask.view(shape), pattern)

    def packed(self) -> UInt8[Tensor, " bytes"]:
        """Eight entries a byte, lowest bit first; the last byte is filled with zeros."""
        return torch.from_numpy(np.packbits(self.mask.flatten().cpu().numpy(), bitorder="little"))

    @classmethod
    def from_packed(cls, bits: UInt8[Tensor, " bytes"], shape: tuple[int, ...], pattern: str = "unstructured") -> "Selection":
        """Raises SelectionError when the bits are too few, too many, or set beyond the end."""
        size = int(np.prod(shape))
        if len(bits) != (size + 7) // 8:
            raise SelectionError(f"a selection of shape {tuple(shape)} takes {(size + 7) // 8} bytes, not {len(bits)}.")
        flat = np.unpackbits(bits.cpu().numpy(), bitorder="little")
        if flat[size:].any():
            raise SelectionError("packed bits are set beyond the last entry: the selection is damaged.")
        return cls(torch.from_numpy(flat[:size].astype(bool)).view(tuple(shape)), pattern)

    def overlap(self, other: "Selection") -> float:
        """Jaccard index of the two kept sets: 1 for the same, 0 for disjoint ones; two empty ones are the same."""
        if self.mask.shape != other.mask.shape:
            raise SelectionError(f"selections of shapes {tuple(self.mask.shape)} and {tuple(other.mask.shape)} do not compare.")
        either = int((self.mask | other.mask).sum())
        return int((self.mask & other.mask).sum()) / either if either else 1.0


class _Packed(NamedTuple):
    bits: UInt8[Tensor, " bytes"]
    shape: tuple[int, ...]
    pattern: str
    kept: int


class Selections(Mapping[str, Selection]):
    """Selections of named tensors, in order: what pruning a model leaves behind. One bit an entry is held."""

    def __init__(self, by_name: Mapping[str, Selection]):
        self._packed: dict[str, _Packed] = {}
        for name, selection in by_name.items():
            self.add(name, selection)

    @classmethod
    def reserved(cls, shapes: Mapping[str, tuple[int, ...]]) -> "Selections":
        """Room for selections of these shapes in one block, nothing kept yet: many small blocks would break up the heap."""
        made = cls({})
        sizes = [(math.prod(shape) + 7) // 8 for shape in shapes.values()]
        parts = torch.zeros(sum(sizes), dtype=torch.uint8).split(sizes)
        for (name, shape), bits in zip(shapes.items(), parts, strict=True):
            made._packed[name] = _Packed(bits, tuple(shape), "unstructured", 0)
        return made

    def add(self, name: str, selection: Selection) -> None:
        """Put one more in, or another one in its place."""
        bits, shape = selection.packed(), tuple(selection.mask.shape)
        if name in self._packed and self._packed[name].shape == shape:
            bits = self._packed[name].bits.copy_(bits)
        self._packed[name] = _Packed(bits, shape, selection.pattern, selection.kept)

    def __getitem__(self, name: str) -> Selection:
        packed = self._packed[name]
        return Selection.from_packed(packed.bits, packed.shape, packed.pattern)

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    @property
    def kept(self) -> int:
        return sum(packed.kept for packed in self._packed.values())

    @property
    def size(self) -> int:
        return sum(math.prod(packed.shape) for packed in self._packed.values())

    @property
    def density(self) -> float:
        """Share kept over all tensors together (not the mean of their densities)."""
        return self.kept / self.size if self.size else 1.0

    def overlap(self, other: "Selections") -> float:
        """Jaccard index over all tensors together. Raises SelectionError unless both name the same tensors."""
        if self.keys() != other.keys():
            odd = sorted(self.keys() ^ other.keys())
            raise SelectionError(f"selections name different tensors: {', '.join(odd[:5])}{' ...' if len(odd) > 5 else ''}.")
        both = either = 0
        for name, mine in self.items():
            theirs = other[name].mask
            if mine.mask.shape != theirs.shape:
                raise SelectionError(f"{name} has shapes {tuple(mine.mask.shape)} and {tuple(theirs.shape)}.")
            both += int((mine.mask & theirs).sum())
            either += int((mine.mask | theirs).sum())
        return both / either if either else 1.0

    def __repr__(self) -> str:
        return f"Selections({len(self)} tensors, {self.kept} of {self.size} kept, density {self.density:.4f})"
