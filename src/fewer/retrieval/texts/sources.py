"""Where texts come from: a folder, a file, or nothing, which is Python's own documentation."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewer.data.retrieval import Document
from fewer.errors import RetrievalError
from fewer.retrieval.texts.folder import read_file, read_folder
from fewer.retrieval.texts.python_docs import python_docs
from fewer.retrieval.vectors import SparseVectors

EMBEDDED = "Python's documentation"


@dataclass(frozen=True)
class Source:
    """Documents to index."""

    name: str
    """For people."""
    documents: tuple[Document, ...]
    complaint: str = ""
    """What was skipped, in one line."""
    vectors: SparseVectors | None = None
    """Where the file holds vectors already: one row a document."""
    terms: tuple[str, ...] = ()
    """What the components of `vectors` stand for, where the file says so."""


def read(path: Path | None) -> Source:
    """The documents of a folder of text files, a BEIR folder, a .jsonl or text file; None: the embedded ones.

    Raises RetrievalError when there is nothing to index, or a file is not as its name says.
    """
    if path is None:
        return Source(EMBEDDED, python_docs())
    if not path.exists():
        raise RetrievalError(
            f"{path} does not exist. Give a folder of texts or a file; without any, Python's documentation is indexed."
        )
    name = path.resolve().name
    if path.is_dir():
        if (path / "corpus.jsonl").is_file():
            return Source(name, _json_lines(path / "corpus.jsonl"))
        reading = read_folder(path)
        return Source(name, reading.documents, reading.complaint)
    if path.suffix in _FORMATS:
        return _FORMATS[path.suffix](path)
    reading = read_file(path, path.name)
    if not reading.documents:
        raise RetrievalError(f"{path} holds no text to index. {reading.complaint}".rstrip())
    return Source(name, reading.documents)


def _json_lines(path: Path) -> tuple[Document, ...]:
    """One object a line with an id (`id` or `_id`) and `text` or `contents`, as BEIR and Pyserini have them."""
    documents = []
    seen: set[str] = set()
    with path.open(encoding="utf-8-sig") as lines:
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    documents.append(_document(line, f"{path}, line {number}", seen))
        except UnicodeDecodeError as error:
            raise RetrievalError(f"{path} is not in UTF-8 (byte {error.start}). Convert it first.") from error
    if not documents:
        raise RetrievalError(f"{path} holds no document.")
    return tuple(documents)


def _document(line: str, where: str, seen: set[str]) -> Document:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise RetrievalError(f"{where} is no JSON object ({error}).") from error
    name = str(row.get("id", row.get("_id", ""))) if isinstance(row, dict) else ""
    text = row.get("text", row.get("contents")) if name else None
    if not name or not isinstance(text, str):
        raise RetrievalError(f'{where} needs an "id" (or "_id") and a "text" (or "contents").')
    if name in seen:
        raise RetrievalError(f"{where} has the id {name!r}, which an earlier line has too.")
    seen.add(name)
    return Document(name, str(row.get("title") or ""), text)


def _jsonl(path: Path) -> Source:
    return Source(path.name, _json_lines(path))


_FORMATS: dict[str, Callable[[Path], Source]] = {".jsonl": _jsonl}
