"""CIFF, the Common Index File Format (Lin et al. 2020): postings that Anserini, PISA, JASS and Terrier exchange.

A file is length-prefixed protobuf messages: a header, the postings lists, the document records. Document numbers of a list are
gaps; impacts are whole numbers in the place of term frequencies.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from fewer.errors import IndexFileError, RetrievalError
from fewer.files import whole_file
from fewer.kernels.cpu.postings import invert
from fewer.retrieval.formats.named import NamedVectors
from fewer.retrieval.vectors import SparseVectors

_invert: Any = invert
_LARGEST = 2**31 - 1


def write_ciff(path: str | Path, named: NamedVectors, unit: float | None = None, description: str = "") -> Path:
    """Write the vectors as an index whose term frequencies are values in units of `unit`, rounded, at least 1.

    Args:
        path: of the file.
        named: vectors, ids and terms; a term without a posting is left out.
        unit: what a stored 1 stands for; when not given, the largest value becomes 255.
        description: for the header.

    Raises:
        RetrievalError: a unit that is not above 0, or so small that a value does not fit 31 bits.
    """
    vectors = named.vectors
    largest = float(vectors.values.max(initial=0))
    unit = (largest / 255 or 1.0) if unit is None else unit
    if not unit > 0 or largest / unit > _LARGEST:
        raise RetrievalError(f"the unit must be above {largest / _LARGEST:g}, so that values fit 31 bits; given: {unit}.")
    impacts = np.maximum(np.rint(vectors.values / unit), 1).astype(np.int32)
    starts, documents, stored = _invert(vectors.starts, vectors.components, impacts.view(np.float32), vectors.dimension)
    stored = stored.view(np.int32)
    lengths = np.add.reduceat(np.append(impacts, 0).astype(np.int64), vectors.starts[:-1]) if len(vectors) else np.zeros(0)
    lengths = np.where(np.diff(vectors.starts) > 0, lengths, 0)
    order = sorted(np.flatnonzero(np.diff(starts)).tolist(), key=lambda term: named.terms[term])
    with whole_file(path) as file:
        header = [
            *(_integer(field, value) for field, value in enumerate((1, len(order), len(vectors), len(order), len(vectors)), 1)),
            _integer(6, int(lengths.sum())),
            b"\x39" + np.array([lengths.mean() if len(lengths) else 0.0], "<f8").tobytes(),
            _text(8, description or f"impacts in units of {unit!r}, written by fewer"),
        ]
        file.write(_message(b"".join(header)))
        for term in order:
            low, high = starts[term], starts[term + 1]
            head = (
                _text(1, named.terms[term])
                + _integer(2, int(high - low))
                + _integer(3, int(stored[low:high].sum(dtype=np.int64)))
            )
            room = np.empty((high - low) * 14, np.uint8)
            used = _encode(documents[low:high], stored[low:high], room)
            file.write(_message(head + room[:used].tobytes()))
        for number, name in enumerate(named.ids):
            file.write(_message(_integer(1, number) + _text(2, name) + _integer(3, int(lengths[number]))))
    return Path(path)


def read_ciff(path: str | Path, unit: float = 1.0) -> NamedVectors:
    """Read an index; a term frequency of n becomes the value n * `unit`.

    Raises:
        IndexFileError: a file that ends too soon, or holds what the format does not allow; the message names the byte.
    """
    if not Path(path).stat().st_size:
        raise IndexFileError(f"{path} is empty.")
    data = np.fromfile(path, np.uint8)
    try:
        return _read(data, unit)
    except _DamageError as damage:
        raise IndexFileError(f"{path}, byte {damage.at}: {damage.what}.") from damage


class _DamageError(Exception):
    def __init__(self, at: int, what: str):
        super().__init__(what)
        self.at, self.what = at, what


def _read(data: np.ndarray, unit: float) -> NamedVectors:
    first, last = _next_message(data, 0)
    header = {field: value for field, value, _ in _fields(data, first, last)}
    lists, count = header.get(2, 0), header.get(3, 0)
    # a list and a record have at least two bytes
    if header.get(1) != 1 or not all(isinstance(n, int) and 0 <= n <= len(data) // 2 for n in (lists, count)):
        raise _DamageError(0, f"this is no CIFF header of version 1: {lists} lists, {count} documents in {len(data)} bytes")
    documents, values = np.empty(len(data) // 4, np.int32), np.empty(len(data) // 4, np.float32)
    terms, starts, filled = [], [0], 0
    for _ in range(lists):
        first, last = _next_message(data, last)
        term, df = "", None
        for field, value, at in _fields(data, first, last, stop=4):
            if field == 1:
                term = _decode(value, at)
            elif field == 2:
                df = value
        found, at = _postings(data, first, last, documents[filled:], values[filled:], count)
        if found < 0:
            raise _DamageError(
                int(at), f"a posting of the term {term!r} is damaged, out of order, or beyond the {count} documents"
            )
        if df is not None and df != found:
            raise _DamageError(first, f"the term {term!r} says that it has {df} postings; there are {found}")
        terms.append(term)
        filled += found
        starts.append(filled)
    ids: list[str | None] = [None] * count
    for _ in range(count):
        first, last = _next_message(data, last)
        record = {field: (value, at) for field, value, at in _fields(data, first, last)}
        number = record.get(1, (0, first))[0]
        if not isinstance(number, int) or not 0 <= number < count or ids[number] is not None:
            raise _DamageError(first, f"the document number {number} is out of range or stands twice")
        ids[number] = _decode(*record.get(2, (b"", first)))
    if last != len(data):
        raise _DamageError(last, f"{len(data) - last} bytes follow the last record")
    if len(set(terms)) != len(terms) or len(set(ids)) != len(ids):
        raise _DamageError(0, "a term or a document's name stands twice")
    rows, components, stored = _invert(np.array(starts), documents[:filled], values[:filled] * np.float32(unit), count)
    vectors = SparseVectors(rows, components, stored, max(len(terms), 1))
    return NamedVectors(vectors, [name or "" for name in ids], terms or [""])


def _decode(value: Any, at: int) -> str:
    try:
        return bytes(value).decode()
    except (UnicodeDecodeError, TypeError) as error:
        raise _DamageError(at, "a name is no UTF-8 text") from error


def _next_message(data: np.ndarray, at: int) -> tuple[int, int]:
    """Where the message behind the length at `at` begins and ends."""
    length, first = _varint(data, at, len(data))
    if first < 0 or length < 0 or first + length > len(data):
        raise _DamageError(at, "the file ends within a message")
    return int(first), int(first + length)


def _fields(data: np.ndarray, at: int, last: int, stop: int = 0) -> Iterator[tuple[int, Any, int]]:
    """(field, value, where it begins) of a message, up to the field `stop`: integers as int, text as an array of bytes."""
    while at < last:
        begin = at
        tag, at = _varint(data, at, last)
        if at < 0:
            raise _DamageError(begin, "a field is damaged")
        field, wire = tag >> 3, tag & 7
        if field == stop:
            return
        value, at = _varint(data, at, last) if wire in (0, 2) else (0, at + {1: 8, 5: 4}.get(wire, last))
        if wire == 2 and at >= 0:
            value, at = (data[at : at + value], at + value) if value >= 0 else (0, -1)
        if not 0 <= at <= last:
            raise _DamageError(begin, "a field is damaged")
        yield int(field), int(value) if wire == 0 else value, begin


@njit(cache=True, nogil=True)
def _varint(data, at, last):
    """(value, where the next begins), the latter -1 for a number that does not end before `last` or in ten bytes."""
    value = np.int64(0)
    for byte in range(10):
        if at >= last:
            return np.int64(0), -1
        value |= np.int64(data[at] & 127) << (7 * byte)
        at += 1
        if data[at - 1] < 128:
            return value, at
    return np.int64(0), -1


@njit(cache=True, nogil=True)
def _postings(data, at, last, documents, values, count):
    """Read the postings of a list into the arrays: (how many, 0), or (-1, where the damage is)."""
    found, document = 0, np.int64(0)
    while at < last:
        begin = at
        tag, at = _varint(data, at, last)
        if at < 0:
            return -1, begin
        length = np.int64(8)
        if tag & 7 != 1:
            length, at = _varint(data, at, last)
            if at < 0 or tag & 7 not in (0, 2):
                return -1, begin
            if tag & 7 == 0:
                continue
        if length < 0 or length > last - at:
            return -1, begin
        end = at + length
        if tag >> 3 != 4:
            at = end
            continue
        gap, impact = np.int64(0), np.int64(0)
        while at < end:
            inner, at = _varint(data, at, end)
            if at < 0 or inner & 7 != 0:
                return -1, begin
            number, at = _varint(data, at, end)
            if at < 0:
                return -1, begin
            if inner >> 3 == 1:
                gap = number
            elif inner >> 3 == 2:
                impact = number
        if gap < 0 or gap >= count or (gap == 0 and found > 0) or impact <= 0 or impact > 2147483647:
            return -1, begin
        document += gap
        if document >= count or found >= len(documents):
            return -1, begin
        documents[found] = document
        values[found] = impact
        found += 1
    return found, 0


@njit(cache=True, nogil=True)
def _put(room, at, value):
    while value >= 128:
        room[at] = (value & 127) | 128
        value >>= 7
        at += 1
    room[at] = value
    return at + 1


@njit(cache=True, nogil=True)
def _encode(documents, impacts, room):
    """Write a list's postings (field 4: gap, impact). Returns how many bytes."""
    at, before = 0, np.int64(0)
    for entry in range(len(documents)):
        begin = at + 2
        at = begin
        if documents[entry] != before:
            room[at] = 0x08
            at = _put(room, at + 1, np.int64(documents[entry]) - before)
        room[at] = 0x10
        at = _put(room, at + 1, np.int64(impacts[entry]))
        room[begin - 2] = 0x22
        room[begin - 1] = at - begin
        before = np.int64(documents[entry])
    return at


def _number(value: int) -> bytes:
    found = bytearray()
    while value >= 128:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _integer(field: int, value: int) -> bytes:
    return _number(field << 3) + _number(value) if value else b""


def _text(field: int, value: str) -> bytes:
    content = value.encode()
    return _number(field << 3 | 2) + _number(len(content)) + content


def _message(content: bytes) -> bytes:
    return _number(len(content)) + content
