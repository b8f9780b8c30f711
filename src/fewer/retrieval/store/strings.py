"""Many strings as two arrays, so that they can lie in a file and be read one by one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Int64, UInt8


@dataclass(frozen=True, eq=False)
class Strings:
    """String i is bytes starts[i] .. starts[i + 1] of the content, in UTF-8."""

    starts: Int64[np.ndarray, " strings+1"]
    content: UInt8[np.ndarray, " bytes"]

    @classmethod
    def of(cls, strings: Iterable[str]) -> Self:
        encoded = [string.encode() for string in strings]
        starts = np.concatenate([[0], np.cumsum([len(piece) for piece in encoded], dtype=np.int64)]).astype(np.int64)
        return cls(starts, np.frombuffer(b"".join(encoded), np.uint8))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, number: int) -> str:
        return self.content[self.starts[number] : self.starts[number + 1]].tobytes().decode()

    def take(self, rows: Int64[np.ndarray, " chosen"]) -> "Strings":
        """The strings of those ascending numbers. Neighbours are copied together: no memory beyond the result."""
        lengths = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else []
        pieces = [self.content[self.starts[run[0]] : self.starts[run[-1] + 1]] for run in runs]
        return Strings(starts, np.concatenate(pieces) if pieces else self.content[:0])

    @classmethod
    def concatenate(cls, parts: "Sequence[Strings]") -> "Strings":
        lengths = np.concatenate([np.diff(part.starts) for part in parts])
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Strings(starts, np.concatenate([part.content for part in parts]))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """For a file."""
        return {f"{name}_starts": self.starts, name: self.content}

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, np.ndarray]) -> Self:
        """From what `arrays` gave."""
        return cls(arrays[f"{name}_starts"], arrays[name])
