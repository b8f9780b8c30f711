"""Search collections: documents, queries, and which documents answer which query."""

import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from fewer.data import python_docs
from fewer.data.loaded import Loaded
from fewer.data.obtain import Found, known, obtain
from fewer.data.places import Places
from fewer.errors import DataError


@dataclass(frozen=True)
class Document:
    """One document; `title` is empty where the collection has none."""

    id: str
    title: str
    text: str

    @property
    def whole(self) -> str:
        """Title and text, the title once (Cranfield's texts begin with a copy of it)."""
        return self.text if self.text.startswith(self.title) else f"{self.title}\n{self.text}".strip()


@dataclass(frozen=True)
class Query:
    """One query."""

    id: str
    text: str


@dataclass(frozen=True)
class Collection(Loaded):
    """A search collection."""

    documents: tuple[Document, ...]
    queries: tuple[Query, ...]
    """All of them; only those with judgements may be used to evaluate."""
    judgements: Mapping[str, Mapping[str, int]]
    """Query id -> document id -> relevance (0: judged and not relevant; absent: not judged)."""

    @property
    def judged(self) -> tuple[Query, ...]:
        """The queries that have judgements."""
        return tuple(query for query in self.queries if query.id in self.judgements)


def load(name: str, data: str | os.PathLike[str] | None = None) -> Collection:
    """The collection `name`. Raises DataError when it is unknown, of another kind, cannot be had, or differs from its sum."""
    entry = known(name)
    if entry.kind != "retrieval":
        raise DataError(f"{name} is a set of kind {entry.kind}, not a search collection. `fewer data list` shows the kinds.")
    found = obtain(entry, Places.find(data))
    return _docstrings(found) if found.source == "embedded" else _judged_collection(found)


def _judged_collection(found: Found) -> Collection:
    judgements: dict[str, dict[str, int]] = {}
    for row in csv.DictReader(io.StringIO(found.text("qrels.tsv")), delimiter="\t"):
        judgements.setdefault(row["query_id"], {})[row["doc_id"]] = int(row["relevance"])
    products = found.name not in ("cranfield", "cisi")
    return Collection(
        name=found.name,
        source=found.source,
        documents=tuple(
            Document(row["id"], row["title"], _other_fields(row) if products else row["text"])
            for row in _rows(found.text("docs.jsonl"))
        ),
        queries=tuple(
            Query(row["id"], row["title"] if products else row["text"]) for row in _rows(found.text("queries.jsonl"))
        ),
        judgements=judgements,
    )


def _rows(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.split("\n") if line]


def _other_fields(row: dict[str, str]) -> str:
    return " ".join(value for key, value in row.items() if key not in ("id", "title") and value)


def _docstrings(found: Found) -> Collection:
    """Known-item search: a docstring's first paragraph is the query, the rest of it the one right document.

    A docstring whose rest has fewer than 12 words is a document as it stands, and asks nothing.
    """
    documents, queries, judgements = [], [], {}
    for doc in {d.name: d for d in python_docs.docstrings()}.values():
        summary, _, rest = doc.text.partition("\n\n")
        if len(rest.split()) >= 12:
            queries.append(Query(doc.name, " ".join(summary.split())))
            judgements[doc.name] = {doc.name: 1}
        documents.append(Document(doc.name, "", rest if doc.name in judgements else doc.text))
    return Collection(
        name=found.name,
        source=found.source,
        documents=tuple(documents),
        queries=tuple(queries),
        judgements=judgements,
    )
