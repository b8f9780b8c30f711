"""Impact vectors, one JSON object a line, as Anserini, Pyserini and Seismic read them."""

import json
from pathlib import Path
from typing import Literal

import numpy as np

from fewer.errors import IndexFileError
from fewer.files import whole_file
from fewer.retrieval.formats.named import NamedVectors
from fewer.retrieval.vectors import SparseVectors

Dialect = Literal["anserini", "seismic"]
_LARGEST = float(np.finfo(np.float32).max)
_TEXT = {"anserini": "contents", "seismic": "content"}


def write_jsonl(path: str | Path, named: NamedVectors, dialect: Dialect = "anserini") -> Path:
    """Write a line for each document: id, text ("contents" for Anserini, "content" for Seismic), vector. Returns the path."""
    if dialect not in _TEXT:
        raise IndexFileError(f"JSONL is written for {', '.join(_TEXT)}; given: {dialect!r}.")
    texts = named.texts or [""] * len(named.ids)
    with whole_file(path) as file:
        for number, (name, text) in enumerate(zip(named.ids, texts, strict=True)):
            components, values = named.vectors.row(number)
            # float() of a float32 prints many digits; the shortest that read back alike are these
            vector = {named.terms[c]: float(str(v)) for c, v in zip(components, values, strict=True)}
            line = json.dumps({"id": name, _TEXT[dialect]: text, "vector": vector}, ensure_ascii=False)
            file.write(line.encode() + b"\n")
    return Path(path)


def read_jsonl(path: str | Path, terms: list[str] | None = None) -> NamedVectors:
    """Read such a file, of either dialect. Components are numbered as terms appear, or as in `terms`.

    Raises:
        IndexFileError: no JSON, no id, an id twice, a term that is not among `terms`, or a weight that is negative or no
            number; the message names the line.
    """
    known = {term: number for number, term in enumerate(terms or [])}
    ids: dict[str, None] = {}
    texts, rows = [], []
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                name, text, vector = _document(json.loads(line))
                if name in ids:
                    raise ValueError(f"the id {name!r} stands twice")
                if terms is not None and (unknown := next((term for term in vector if term not in known), None)) is not None:
                    raise ValueError(f"the term {unknown!r} is not among the given ones")
            except (ValueError, RecursionError) as error:  # a JSON or a Unicode error is a ValueError
                raise IndexFileError(f"{path}, line {number}: {error}.") from error
            ids[name] = None
            texts.append(text)
            rows.append({known.setdefault(term, len(known)): weight for term, weight in vector.items()})
    vectors = SparseVectors.from_rows(rows, max(len(known), 1))
    return NamedVectors(vectors, list(ids), list(known) or [""], texts if any(texts) else ())


def _document(found: object) -> tuple[str, str, dict[str, float]]:
    if not isinstance(found, dict) or not isinstance(found.get("vector"), dict):
        raise ValueError('a line is an object with "id" and "vector", itself an object of terms and weights')
    name = found.get("id")
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        raise ValueError(f'"id" must be text or a number; given: {name!r}')
    text = found.get("contents", found.get("content", ""))
    if not isinstance(text, str):
        raise ValueError(f"the text must be text; given: {type(text).__name__}")
    for term, weight in found["vector"].items():
        number = not isinstance(weight, bool) and isinstance(weight, (int, float))
        if not number or not 0 <= weight <= _LARGEST:
            raise ValueError(f"the weight of {term!r} must be a number from 0 on; given: {weight!r}")
    return str(name), text, found["vector"]
