"""Where texts come from: a folder, a file, or nothing, which is Python's own documentation."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewer.data.retrieval import Document
from fewer.errors import RetrievalError
from fewer.retrieval.formats.ciff import read_ciff
from fewer.retrieval.formats.csr import read_csr
from fewer.retrieval.formats.jsonl import read_jsonl
from fewer.retrieval.formats.named import NamedVectors
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
    """The documents of a folder of text files, a BEIR folder, a file (.jsonl, .ciff, .csr, or text); None: the embedded ones.

    Raises RetrievalError when there is nothing to index or a file is not as its name says, IndexFileError for damaged vectors.
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
    """Texts, or impact vectors when the first line has one."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        if '"vector"' in next((line for line in lines if line.strip()), ""):
            return _named(path, read_jsonl(path))
    return Source(path.name, _json_lines(path))


def _ciff(path: Path) -> Source:
    return _named(path, read_ciff(path))


def _csr(path: Path) -> Source:
    vectors = read_csr(path)
    return Source(path.name, tuple(Document(str(row), "", "") for row in range(len(vectors))), vectors=vectors)


def _named(path: Path, named: NamedVectors) -> Source:
    texts = named.texts or [""] * len(named.ids)
    documents = tuple(Document(name, "", text) for name, text in zip(named.ids, texts, strict=True))
    return Source(path.name, documents, vectors=named.vectors, terms=tuple(named.terms))


_FORMATS: dict[str, Callable[[Path], Source]] = {".jsonl": _jsonl, ".ciff": _ciff, ".csr": _csr}
