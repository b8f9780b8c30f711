"""A named file and its checksum. The sum is that of the content, so that a gzipped and a plain copy are the same file."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fewer.errors import DataError

CHUNK = 1 << 20


@dataclass(frozen=True)
class File:
    """One file of a data set or model."""

    path: str
    """Relative to the data or model folder, `/` between parts; a name that ends in `.gz` may also lie there unpacked."""
    sha256: str
    """Of the content (unpacked, for `.gz`). For a folder: of its `name sha256` lines, names sorted."""
    size: int
    """Bytes as distributed (packed, for `.gz`); for display."""

    @property
    def plain(self) -> str:
        """The path of the unpacked copy."""
        return self.path.removesuffix(".gz")

    def under(self, root: Path) -> Path | None:
        """Where this file lies below `root`, packed or plain; None when it does not."""
        return next((root / name for name in (self.path, self.plain) if (root / name).exists()), None)

    def verify(self, path: Path, place: str = "") -> Path:
        """Returns `path` when its content has this file's sum; otherwise raises DataError with both sums and the place."""
        actual = digest(path)
        if actual != self.sha256:
            raise DataError(
                f"{place or path} is not the {self.path} that fewer knows: its sha256 is {actual}, "
                f"expected {self.sha256}. Remove or replace that file."
            )
        return path


def chunks(path: Path) -> Iterator[bytes]:
    """The content of `path` in pieces, unpacked when its name ends in `.gz`. Raises DataError when it is damaged."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}). Remove or replace it.") from error


def content(path: Path) -> bytes:
    """The whole content of `path`, unpacked when its name ends in `.gz`."""
    return b"".join(chunks(path))


def digest(path: Path) -> str:
    """The sha256 of a file's content, or of a folder's `name sha256` lines."""
    total = hashlib.sha256()
    if path.is_dir():
        for inner in sorted(p for p in path.rglob("*") if p.is_file()):
            total.update(f"{inner.relative_to(path).as_posix()} {digest(inner)}\n".encode())
    else:
        for piece in chunks(path):
            total.update(piece)
    return total.hexdigest()
