"""The write-ahead log: what was added and deleted since the last segment was sealed, record by record.

    head        8 bytes magic, 4 version, 4 zeros, 16 salt
    a record    16 bytes salt, 8 length, 16 checksum, then `length` bytes

The salt is drawn for each log and keys the checksums, so that nothing that stands inside a document can pass for a record.
A record is acknowledged after fsync; the next one is written only then. So a crash can tear the last record and no other.
"""

import hashlib
import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from fewer.errors import IndexFileError
from fewer.files import sync_folder
from fewer.retrieval.store.arrays_file import ArraysFile, pack_arrays, unpack_arrays

_MAGIC = b"\x93fewlog\n"
_VERSION = 1
_HEAD = struct.Struct("<8sI4x16s")
_RECORD = struct.Struct("<16sQ16s")

What = Literal["add", "delete"]


class Read(NamedTuple):
    """What a log holds."""

    salt: bytes
    records: list[ArraysFile]
    end: int
    """Bytes up to here are whole records."""
    torn: int
    """Bytes of a last record that a crash cut off; it was never acknowledged."""


class Log:
    """A log that is open for writing. Not for two threads at once.

    Raises:
        IndexFileError: the disk is full or gone. A record that could not be written whole is taken back.
    """

    def __init__(self, path: Path, salt: bytes, end: int):
        self.path = path
        self._salt = salt
        self.end = end
        self._file = path.open("r+b", buffering=0)
        self._file.truncate(end)
        self._file.seek(end)
        self._failed: str | None = None

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new, empty log, on disk when this returns."""
        salt = secrets.token_bytes(16)
        try:
            with path.open("wb") as file:
                file.write(_HEAD.pack(_MAGIC, _VERSION, salt))
                file.flush()
                os.fsync(file.fileno())
            sync_folder(path.parent)
            return cls(path, salt, _HEAD.size)
        except OSError as error:
            raise IndexFileError(f"{path} cannot be written: {error.strerror or error}.") from None

    def append(self, what: What, arrays: Mapping[str, np.ndarray]) -> None:
        """One record; on disk when this returns."""
        if self._failed:
            raise IndexFileError(
                f"{self.path} could not be written before ({self._failed}). Close the store and open it again."
            )
        payload = pack_arrays(what, {}, arrays)
        record = _RECORD.pack(self._salt, len(payload), _checksum(self._salt, payload)) + payload
        try:
            written = 0
            while written < len(record):
                written += self._file.write(memoryview(record)[written:]) or 0
            os.fsync(self._file.fileno())
        except OSError as error:
            # After a failed sync nobody knows what is on disk; a log that takes its last record back knows, and stops.
            reason = self._failed = error.strerror or str(error)
            try:
                self._file.truncate(self.end)
                self._file.seek(self.end)
                os.fsync(self._file.fileno())
                self._failed = None
            except OSError:
                pass
            raise IndexFileError(f"{self.path} cannot be written: {reason}. Nothing of this call was kept.") from None
        self.end += len(record)

    def close(self) -> None:
        self._file.close()


def read_log(path: Path) -> Read:
    """Every whole record.

    Raises:
        IndexFileError: it is no log, of another version, or damaged before its last record: a crash does not do that.
        FileNotFoundError: no such file.
    """
    content = path.read_bytes()
    magic, version, salt = _HEAD.unpack_from(content) if len(content) >= _HEAD.size else (b"", 0, b"")
    if magic != _MAGIC:
        raise IndexFileError(f"{path} is no log of additions. {_RESTORE}")
    if version != _VERSION:
        raise IndexFileError(
            f"{path} has log version {version}; this fewer reads version {_VERSION}. Open it with the fewer that wrote it."
        )
    records: list[ArraysFile] = []
    end = _HEAD.size
    for payload, after in _records(content, salt, end):
        records.append(unpack_arrays(payload, f"{path}, record {len(records)},", check=False))
        end = after
    # What follows the first broken record must not be a whole one.
    at = content.find(salt, end + 1)
    while at >= 0:
        if next(_records(content, salt, at), None):
            raise IndexFileError(
                f"{path} is damaged at byte {end}, after {len(records)} records, and whole ones follow. {_RESTORE}"
            )
        at = content.find(salt, at + 1)
    return Read(salt, records, end, len(content) - end)


_RESTORE = "Restore the store's folder from a copy."


def _records(content: bytes, salt: bytes, at: int) -> Iterator[tuple[bytes, int]]:
    """Payload and end of each record from `at` on, up to the first that is not whole."""
    while len(content) - at >= _RECORD.size:
        found, length, checksum = _RECORD.unpack_from(content, at)
        after = at + _RECORD.size + length
        payload = content[at + _RECORD.size : after]
        if found != salt or after > len(content) or _checksum(salt, payload) != checksum:
            return
        yield payload, after
        at = after


def _checksum(salt: bytes, payload: bytes) -> Any:
    return hashlib.blake2b(payload, digest_size=16, key=salt).digest()
