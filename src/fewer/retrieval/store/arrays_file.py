"""One file of named arrays: a fixed head, a JSON header, then the arrays, each at a multiple of 64 bytes.

    bytes  0 .. 8    the magic number
           8 .. 12   format version, little-endian
          12 .. 16   length of the header in bytes
          16 .. 48   SHA-256 of the header
          48 .. 64   zeros
          64 ..      the header: {"kind", "settings", "arrays": {name: {"dtype", "shape", "offset", "crc32"}}, "end"}

Offsets count from the start of the file. CRC-32 finds damage; the header's SHA-256 covers every CRC, so that whoever keeps it
(a store's manifest does) knows the whole file.
"""

import hashlib
import io
import json
import math
import mmap
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from fewer.errors import IndexFileError
from fewer.files import whole_file

VERSION = 1
_MAGIC = b"\x93fewer\r\n"
_HEAD = struct.Struct("<8sII32s16x")
_ALIGNED = 64
_LONGEST_HEADER = 1 << 24
_DTYPE = re.compile(r"\|[bu]1|\|i1|<[iuf](2|4|8)")


@dataclass(frozen=True, eq=False)
class ArraysFile:
    """What such a file holds."""

    kind: str
    """What the arrays are."""
    settings: dict[str, Any]
    arrays: dict[str, np.ndarray]
    """Read-only; maps of the file when it was opened by `open_arrays`."""
    digest: str
    """SHA-256 of the header, in hexadecimal: the same for the same content, and no other."""


def write_arrays(path: str | Path, kind: str, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Write the file whole, or not at all; returns its digest.

    Raises:
        IndexFileError: the folder cannot be written or the disk is full; an older file stays as it was.
        TypeError: an array of a type that has no plain bytes, or settings that are not JSON.
    """
    try:
        with whole_file(path) as file:
            return _write(file, kind, settings, arrays)
    except OSError as error:
        raise IndexFileError(
            f"{path} cannot be written: {error.strerror or error}. Free some space, or choose another folder."
        ) from None


def pack_arrays(kind: str, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The same bytes, in memory."""
    file = io.BytesIO()
    _write(file, kind, settings, arrays)
    return file.getvalue()


def open_arrays(path: str | Path, check: bool = True) -> ArraysFile:
    """Map the file into memory.

    Args:
        path: the file.
        check: compare every array with its checksum, which reads the whole file; the header's is always checked.

    Raises:
        IndexFileError: there is no such file, it is not such a file, it is of another version, cut short, or damaged.
    """
    try:
        with Path(path).open("rb") as file:
            if file.seek(0, io.SEEK_END) < _HEAD.size:
                raise IndexFileError(f"{path} is no index file, or was cut short: it has {file.tell()} bytes. {_RESTORE}")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise IndexFileError(f"{path} cannot be read: {error.strerror or error}.") from None
    return unpack_arrays(content, str(path), check)


def unpack_arrays(content: bytes | mmap.mmap, name: str, check: bool = True) -> ArraysFile:
    """As `open_arrays`, of bytes that are in memory; `name` is for messages."""
    magic, version, length, digest = _HEAD.unpack_from(content) if len(content) >= _HEAD.size else (b"", 0, 0, b"")
    if magic != _MAGIC:
        raise IndexFileError(f"{name} is no index file: it does not begin as one. {_RESTORE}")
    if version != VERSION:
        raise IndexFileError(
            f"{name} has format version {version}; this fewer reads {VERSION}. Build it again, or use the fewer that wrote it."
        )
    encoded = bytes(content[_HEAD.size : _HEAD.size + min(length, _LONGEST_HEADER)])
    if hashlib.sha256(encoded).digest() != digest:
        raise IndexFileError(f"{name} is damaged: its header does not have its checksum. {_RESTORE}")
    header = json.loads(encoded)
    if len(content) != header["end"]:
        raise IndexFileError(
            f"{name} was cut short or added to: it should have {header['end']} bytes, and has {len(content)}. {_RESTORE}"
        )
    arrays = {}
    for key, told in header["arrays"].items():
        arrays[key] = _array(content, told, f"{name}, array {key!r},")
        if check and zlib.crc32(_bytes(arrays[key])) != told["crc32"]:
            raise IndexFileError(f"{name} is damaged: array {key!r} does not have its checksum. {_RESTORE}")
    return ArraysFile(header["kind"], header["settings"], arrays, digest.hex())


_RESTORE = "Restore it from a copy, or build it again."


def _array(content: bytes | mmap.mmap, told: Mapping[str, Any], what: str) -> np.ndarray:
    """A view of the content. A header may have its checksum and still lie: nothing outside the content is ever touched."""
    shape, offset, dtype = told["shape"], told["offset"], told["dtype"]
    plain = isinstance(dtype, str) and _DTYPE.fullmatch(dtype)
    if not plain or not all(isinstance(number, int) and number >= 0 for number in (*shape, offset)):
        raise IndexFileError(f"{what} is described in a way that no fewer writes: {dict(told)}. {_RESTORE}")
    count = math.prod(shape)
    if offset + count * np.dtype(dtype).itemsize > len(content):
        raise IndexFileError(f"{what} ends outside the file. {_RESTORE}")
    return np.frombuffer(content, dtype, count, offset if count else 0).reshape(shape)


def _write(file: IO[bytes], kind: str, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    given = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    told: dict[str, dict[str, Any]] = {}
    for name, array in given.items():
        dtype = array.dtype.newbyteorder("<").str if array.dtype.itemsize > 1 else array.dtype.str
        if not _DTYPE.fullmatch(dtype):
            raise TypeError(f"array {name!r} has type {array.dtype}; plain booleans, integers and floats can be written.")
        given[name] = array.astype(dtype, copy=False)
        told[name] = {"dtype": dtype, "shape": list(array.shape), "offset": 0, "crc32": zlib.crc32(_bytes(given[name]))}
    header = {"kind": kind, "settings": dict(settings), "arrays": told, "end": 0}
    # Offsets depend on the header's length, and it on their digits: leave room for the longest.
    room = len(json.dumps(header)) + 20 * (len(told) + 1)
    at = _up(_HEAD.size + room)
    for name, array in given.items():
        told[name]["offset"] = at
        at = _up(at + array.nbytes)
    header["end"] = at
    encoded = json.dumps(header).encode().ljust(room)
    if len(encoded) > _LONGEST_HEADER:
        raise TypeError(f"settings and names take {len(encoded)} bytes; at most {_LONGEST_HEADER} can be written.")
    digest = hashlib.sha256(encoded)
    file.write(_HEAD.pack(_MAGIC, VERSION, len(encoded), digest.digest()) + encoded)
    file.write(b"\0" * (_up(_HEAD.size + room) - _HEAD.size - room))
    for array in given.values():
        file.write(_bytes(array))
        file.write(b"\0" * (_up(array.nbytes) - array.nbytes))
    return digest.hexdigest()


def _bytes(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _up(size: int) -> int:
    return (size + _ALIGNED - 1) // _ALIGNED * _ALIGNED
