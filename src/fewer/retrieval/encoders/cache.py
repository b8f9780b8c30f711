"""Encoded texts on disk: a text goes through a model once, and an interrupted run goes on where it stopped."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8, UInt32

from fewer.data.places import Places
from fewer.files import write_whole
from fewer.retrieval.encoders.encoder import Encoder
from fewer.retrieval.encoders.progress import progress
from fewer.retrieval.vectors import SparseVectors

PART = 4096
"""Texts that are encoded, then written, at once: what an interruption can cost."""
KEY = 16
"""Bytes of a text's hash: among a billion texts, two alike are less likely than 1 in 10^20."""


@dataclass(frozen=True)
class Part:
    """Rows of one file."""

    keys: UInt8[np.ndarray, "rows 16"]
    """Hashes of the texts."""
    starts: Int64[np.ndarray, " rows+1"]
    words: UInt32[np.ndarray, " words"]
    """What a row holds, as 32-bit words: components then values, or the values of a dense vector."""

    def to_bytes(self) -> bytes:
        """As a file holds it."""
        held = io.BytesIO()
        np.savez(held, keys=self.keys, starts=self.starts, words=self.words)
        return held.getvalue()

    @classmethod
    def read(cls, path: Path) -> "Part | None":
        """None when the file is damaged (zip sums its members) or of another kind."""
        try:
            with np.load(path, allow_pickle=False) as file:
                part = cls(file["keys"], file["starts"], file["words"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        fits = (
            part.keys.shape == (len(part.starts) - 1, KEY)
            and part.starts[-1] == len(part.words)
            and (part.keys.dtype, part.starts.dtype, part.words.dtype) == (np.uint8, np.int64, np.uint32)
        )
        return part if fits else None


@dataclass(frozen=True)
class VectorCache:
    """Rows by the hash of a text, in a folder that belongs to one fingerprint of an encoder.

    Every file is written whole and named by its content, so several processes may write at once. A damaged file counts
    as absent; its texts are encoded again.
    """

    folder: Path
    _rows: dict[bytes, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _read: set[str] = field(default_factory=set, init=False, repr=False)

    @classmethod
    def of(cls, name: str, fingerprint: str) -> "VectorCache":
        """In the cache folder of `fewer`."""
        inner = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
        return cls(Places.find().cache / "vectors" / f"{Path(name).name}-{inner}")

    def rows(
        self, texts: Sequence[str], make: Callable[[list[str]], Iterable[np.ndarray]], title: str
    ) -> list[UInt32[np.ndarray, " words"]]:
        """The row of each text, in order; what is missing is made in parts of `PART` texts, each saved before the next."""
        keys = [hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:KEY] for text in texts]
        if any(key not in self._rows for key in keys):
            self._load()
        absent = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}
        with progress(title, len(absent)) as advance:
            waiting = sorted(absent.items(), key=lambda item: len(item[1]))
            for start in range(0, len(waiting), PART):
                part = waiting[start : start + PART]
                self._add([key for key, _ in part], list(make([text for _, text in part])))
                advance(len(part))
        return [self._rows[key] for key in keys]

    def _load(self) -> None:
        for path in sorted(self.folder.glob("*.npz")) if self.folder.is_dir() else []:
            if path.name not in self._read and (part := Part.read(path)):
                self._read.add(path.name)
                bounds = part.starts.tolist()
                for number, key in enumerate(part.keys):
                    self._rows[key.tobytes()] = part.words[bounds[number] : bounds[number + 1]]

    def _add(self, keys: list[bytes], rows: list[np.ndarray]) -> None:
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        packed = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY)
        content = Part(packed, starts, np.concatenate(rows) if rows else np.zeros(0, np.uint32)).to_bytes()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = write_whole(self.folder / f"{hashlib.sha256(content).hexdigest()[:16]}.npz", content)
        self._read.add(path.name)
        self._rows.update(zip(keys, rows, strict=True))


@dataclass(frozen=True, eq=False)
class Cached:
    """An encoder of sparse vectors that remembers: the same vectors, the second time from disk."""

    encoder: Encoder
    _caches: dict[str, VectorCache] = field(default_factory=dict, init=False, repr=False)

    @property
    def name(self) -> str:
        """The encoder's."""
        return self.encoder.name

    @property
    def dimension(self) -> int:
        """The encoder's."""
        return self.encoder.dimension

    def term(self, component: int) -> str:
        """The encoder's."""
        return self.encoder.term(component)

    def fingerprint(self, queries: bool) -> str:
        """The encoder's."""
        return self.encoder.fingerprint(queries)

    def encode(self, texts: Sequence[str], queries: bool = False) -> SparseVectors:
        """As the encoder, text by text the same; a progress bar on standard error when it takes long."""

        def make(missing: list[str]) -> Iterable[np.ndarray]:
            made = self.encoder.encode(missing, queries)
            for row in range(len(missing)):
                components, values = made.row(row)
                yield np.concatenate([components.view(np.uint32), values.view(np.uint32)])

        cache = remembered(self._caches, self.name, self.fingerprint(queries))
        rows = cache.rows(texts, make, f"encoding with {self.name}")
        starts = np.concatenate([[0], np.cumsum([len(row) // 2 for row in rows])]).astype(np.int64)
        empty = np.zeros(0, np.uint32)
        components = np.concatenate([empty, *(row[: len(row) // 2] for row in rows)])
        values = np.concatenate([empty, *(row[len(row) // 2 :] for row in rows)])
        return SparseVectors(starts, components.view(np.int32), values.view(np.float32), self.dimension)


def remembered(caches: dict[str, VectorCache], name: str, fingerprint: str) -> VectorCache:
    """The cache of a fingerprint among `caches`, made when it is not there."""
    if fingerprint not in caches:
        caches[fingerprint] = VectorCache.of(name, fingerprint)
    return caches[fingerprint]
