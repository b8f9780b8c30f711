"""TREC's text files: runs (`query Q0 document rank score tag`) and judgements (`query 0 document relevance`)."""

import gzip
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from fewer.errors import DataError
from fewer.files import write_whole
from fewer.retrieval.evaluation import Qrels, Run

Pathlike = str | Path


def read_run(path: Pathlike) -> dict[str, dict[str, float]]:
    """Query id -> document id -> score, in the file's order; `.gz` is unpacked. Ranks are not read: scores decide.

    Raises:
        DataError: no such file, or a line that is damaged or repeats a document; the message names it.
    """
    found: dict[str, dict[str, float]] = {}
    for number, fields in _fields(path, 6, "query Q0 document rank score tag"):
        query, _, document, _, score, _ = fields
        try:
            value = float(score)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{path}, line {number}: the score must be a finite number; given: {score!r}.")
        _put(found, query, document, value, path, number)
    return found


def write_run(path: Pathlike, run: Run, tag: str = "fewer") -> Path:
    """Each query's documents by falling score, of equal ones in the order given, ranks from 1.

    Raises:
        DataError: an id or a tag that is empty or holds blanks, or a score that is not finite.
    """
    lines = []
    for query, documents in run.items():
        ranked = sorted(documents.items(), key=lambda pair: -pair[1])
        for rank, (document, score) in enumerate(ranked, 1):
            if not math.isfinite(score):
                raise DataError(f"query {query}, document {document}: a score must be finite; given: {score}.")
            lines.append(f"{_word(query)} Q0 {_word(document)} {rank} {float(score)!r} {_word(tag)}\n")
    return write_whole(path, "".join(lines))


def read_qrels(path: Pathlike) -> dict[str, dict[str, int]]:
    """Query id -> document id -> relevance; `.gz` is unpacked.

    Raises:
        DataError: as `read_run`.
    """
    found: dict[str, dict[str, int]] = {}
    for number, fields in _fields(path, 4, "query 0 document relevance"):
        query, _, document, grade = fields
        try:
            value = int(grade)
        except ValueError:
            raise DataError(f"{path}, line {number}: the relevance must be a whole number; given: {grade!r}.") from None
        _put(found, query, document, value, path, number)
    return found


def write_qrels(path: Pathlike, qrels: Qrels) -> Path:
    """In the order given. Raises DataError for an id that is empty or holds blanks."""
    lines = [f"{_word(q)} 0 {_word(d)} {int(grade)}\n" for q, documents in qrels.items() for d, grade in documents.items()]
    return write_whole(path, "".join(lines))


def _fields(path: Pathlike, count: int, form: str) -> Iterator[tuple[int, list[str]]]:
    """Lines with their numbers from 1, cut at blanks; empty ones are passed over."""
    try:
        raw = Path(path).read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != count:
            raise DataError(f"{path}, line {number}: {count} fields are needed, `{form}`; given: {line.strip()[:80]!r}.")
        yield number, fields


def _put(found: dict[str, dict], query: str, document: str, value: float, path: Pathlike, number: int) -> None:
    documents: Mapping[str, float] = found.setdefault(query, {})
    if document in documents:
        raise DataError(f"{path}, line {number}: document {document} stands twice for query {query}.")
    found[query][document] = value


def _word(name: str) -> str:
    if len(name.split()) != 1 or name != name.strip():
        raise DataError(f"ids and tags in TREC files are not empty and hold no blanks; given: {name!r}.")
    return name
