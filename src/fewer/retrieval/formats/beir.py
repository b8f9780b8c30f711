"""Folders as BEIR lays them out: corpus.jsonl, queries.jsonl and qrels/<split>.tsv."""

import csv
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

from fewer.data.retrieval import Collection, Document, Query
from fewer.errors import DataError
from fewer.files import write_whole

HEADER = ("query-id", "corpus-id", "score")


def read_beir(folder: str | os.PathLike[str], split: str = "test") -> Collection:
    """A collection; its files may be packed (`.jsonl.gz`). Judgements of documents that the corpus lacks are kept.

    Args:
        split: the name of the file in `qrels`, without its ending.

    Raises:
        DataError: a file is missing, a line is damaged or repeats an id, or a judged query is unknown; the message names it.
    """
    folder = Path(folder)
    documents = [Document(row["_id"], row.get("title") or "", row["text"]) for row in _rows(folder, "corpus", ("_id", "text"))]
    queries = [Query(row["_id"], row["text"]) for row in _rows(folder, "queries", ("_id", "text"))]
    judgements = _judgements(folder / "qrels" / f"{split}.tsv")
    if unknown := sorted(judgements.keys() - {query.id for query in queries}):
        raise DataError(f"{folder / 'qrels' / split}.tsv judges query {unknown[0]}, which queries.jsonl does not have.")
    return Collection(
        name=folder.resolve().name,
        source="folder",
        documents=tuple(documents),
        queries=tuple(queries),
        judgements=judgements,
    )


def write_beir(folder: str | os.PathLike[str], collection: Collection, split: str = "test") -> Path:
    """Writes the three files, each whole or not at all, and makes the folder. Returns it."""
    folder = Path(folder)
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = ({"_id": d.id, "title": d.title, "text": d.text, "metadata": {}} for d in collection.documents)
    queries = ({"_id": q.id, "text": q.text, "metadata": {}} for q in collection.queries)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        write_whole(folder / f"{name}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    lines = ["\t".join(HEADER)]
    for query, documents in collection.judgements.items():
        for document, grade in documents.items():
            if any(blank in query + document for blank in "\t\n\r"):
                raise DataError(f"ids in qrels hold no tab and no line end; given: {query!r} and {document!r}.")
            lines.append(f"{query}\t{document}\t{grade}")
    write_whole(folder / "qrels" / f"{split}.tsv", "\n".join(lines) + "\n")
    return folder


def _rows(folder: Path, name: str, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    path = next((p for p in (folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz") if p.is_file()), None)
    if path is None:
        raise DataError(f"{folder} is no BEIR folder: it has no {name}.jsonl.")
    seen = set()
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: no JSON: {error}.") from error
        if not isinstance(row, dict) or any(not isinstance(row.get(key), str) for key in needed):
            raise DataError(f"{path}, line {number}: an object with texts under {' and '.join(needed)} is needed.")
        if row["_id"] in seen:
            raise DataError(f"{path}, line {number}: the id {row['_id']} stands there twice.")
        seen.add(row["_id"])
        yield row


def _judgements(path: Path) -> dict[str, dict[str, int]]:
    if not path.is_file():
        splits = ", ".join(sorted(other.stem for other in path.parent.glob("*.tsv"))) or "none"
        raise DataError(f"{path} is not there; splits with judgements: {splits}.")
    found: dict[str, dict[str, int]] = {}
    for number, fields in enumerate(
        csv.reader(_text(path).replace("\r", "").split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE), 1
    ):
        if not fields or (number == 1 and tuple(fields) == HEADER):
            continue
        try:
            query, document, grade = fields
            relevance = int(grade)
        except ValueError:
            raise DataError(f"{path}, line {number}: `query-id corpus-id score` is needed; given: {fields}.") from None
        if document in found.setdefault(query, {}):
            raise DataError(f"{path}, line {number}: document {document} stands twice for query {query}.")
        found[query][document] = relevance
    return found


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
