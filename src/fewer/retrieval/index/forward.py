"""The stored vectors themselves, laid out for exact scoring: lines of 16 components and 16 values."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Int64, UInt8
from numba import njit

from fewer.errors import RetrievalError
from fewer.kernels.cpu.forward import COMPONENT_BYTES, FORMATS, LANES, VALUE_BYTES, line_bytes
from fewer.retrieval.vectors import SparseVectors

Values = Literal["float16", "float32", "uint8"]
_LARGEST_HALF = 65504.0


@dataclass(frozen=True, eq=False)
class Forward:
    """One stored vector after the other; vector i takes the lines starts[i] .. starts[i + 1]."""

    starts: Int64[np.ndarray, " documents+1"]
    """In lines."""
    lines: UInt8[np.ndarray, " bytes"]
    """Starts at a multiple of 64 bytes."""
    components: str
    """ "uint16" or "uint32"."""
    values: Values
    dimension: int
    unit: float
    """What a stored value of 1 stands for: bytes count in 1/255 of the largest value, floats stand for themselves."""

    @classmethod
    def pack(cls, vectors: SparseVectors, values: Values = "float16") -> Self:
        """Store `vectors`; components take 16 bits where the dimension allows it.

        Raises:
            RetrievalError: an unknown type, or a value that a half float cannot hold.
        """
        if values not in VALUE_BYTES:
            raise RetrievalError(f"values are stored as {', '.join(VALUE_BYTES)}; given: {values!r}.")
        largest = float(vectors.values.max(initial=0))
        if values == "float16" and largest > _LARGEST_HALF:
            raise RetrievalError(
                f'half floats end at {_LARGEST_HALF:g}; the largest value is {largest:g}. Use values="float32".'
            )
        # the padding points at component `dimension`
        components = "uint16" if vectors.dimension < 2**16 else "uint32"
        counts = (np.diff(vectors.starts) + LANES - 1) // LANES
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        lines = aligned(int(starts[-1]) * line_bytes(components, values))
        unit = largest / 255 if values == "uint8" and largest > 0 else 1.0
        kind = "uint8" if values == "uint8" else values
        stored = vectors.values
        if values == "uint8":
            stored = np.maximum(np.rint(stored / np.float32(unit)), 1)
        width = COMPONENT_BYTES[components]
        _fill(
            vectors.starts,
            vectors.components.astype(components).view(np.uint8),
            stored.astype(kind).view(np.uint8),
            starts,
            lines,
            np.array([vectors.dimension], components).view(np.uint8),
            width,
            VALUE_BYTES[values],
        )
        return cls(starts, lines, components, values, vectors.dimension, unit)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def form(self) -> int:
        """What the kernels call this layout."""
        return FORMATS[self.components, self.values]

    @property
    def line(self) -> int:
        """Bytes of a line."""
        return line_bytes(self.components, self.values)

    def vectors(self) -> SparseVectors:
        """Back to rows, at the stored precision."""
        table = self.lines.reshape(-1, self.line)
        width = LANES * COMPONENT_BYTES[self.components]
        components = np.ascontiguousarray(table[:, :width]).view(self.components).reshape(-1)
        values = np.ascontiguousarray(table[:, width:]).view(self.values).reshape(-1)
        real = components != self.dimension
        counted = np.concatenate([[0], np.cumsum(real)])
        found = values[real].astype(np.float32) * np.float32(self.unit)
        return SparseVectors(
            counted[self.starts * LANES].astype(np.int64), components[real].astype(np.int32), found, self.dimension
        )

    def take(self, rows: Int64[np.ndarray, " chosen"]) -> "Forward":
        """Some of the stored vectors."""
        starts = np.concatenate([[0], np.cumsum(np.diff(self.starts)[rows])]).astype(np.int64)
        pieces = [self.lines[self.starts[row] * self.line : self.starts[row + 1] * self.line] for row in rows]
        lines = aligned(int(starts[-1]) * self.line)
        lines[:] = np.concatenate([*pieces, self.lines[:0]])
        return replace(self, starts=starts, lines=lines)

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {"forward_starts": self.starts, "forward_lines": self.lines}

    def settings(self) -> dict[str, Any]:
        """For a file."""
        return {"components": self.components, "values": self.values, "dimension": self.dimension, "unit": self.unit}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        """From what `arrays` and `settings` gave."""
        names = ("components", "values", "dimension", "unit")
        return cls(arrays["forward_starts"], arrays["forward_lines"], *(settings[name] for name in names))


def aligned(size: int) -> np.ndarray:
    """`size` zero bytes that start at a multiple of 64."""
    room = np.zeros(size + 64, np.uint8)
    skip = -room.ctypes.data % 64
    return room[skip : skip + size]


@njit(cache=True, nogil=True)
def _fill(starts, components, values, line_starts, lines, padding, width, size):
    line = LANES * (width + size)
    for row in range(len(starts) - 1):
        low, count = starts[row], starts[row + 1] - starts[row]
        for slot in range((line_starts[row + 1] - line_starts[row]) * LANES):
            at = line_starts[row] * line + (slot >> 4) * line
            lane = slot & 15
            for byte in range(width):
                there = padding[byte] if slot >= count else components[(low + slot) * width + byte]
                lines[at + lane * width + byte] = there
            if slot < count:
                for byte in range(size):
                    lines[at + LANES * width + lane * size + byte] = values[(low + slot) * size + byte]
