"""An index of texts in a folder: a store, the encoders that feed it, and answers that people can read."""

import json
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from fewer.data.retrieval import Document
from fewer.errors import IndexFileError, RetrievalError, VectorError
from fewer.retrieval.feedback.fusion import Interpolation
from fewer.retrieval.feedback.ranking import Ranking
from fewer.retrieval.index.kinds import kind
from fewer.retrieval.store.store import Store
from fewer.retrieval.texts.encoders import TextEncoder, dense_model, opened
from fewer.retrieval.texts.spans import Excerpt, excerpt
from fewer.retrieval.vectors import SparseVectors

if TYPE_CHECKING:
    from fewer.retrieval.encoders.dense import Dense

Mode = Literal["sparse", "dense", "fused"]
MODES: tuple[Mode, ...] = get_args(Mode)
MEASURED = "measured.json"
DEPTH = 100
"""Documents of each list that fusion reads, at least."""


@dataclass(frozen=True)
class Hit:
    """One document of an answer."""

    id: str
    score: float
    title: str
    excerpt: Excerpt
    parts: dict[str, float]
    """The scores of the lists it was found in: sparse, dense."""


@dataclass(frozen=True)
class Answer:
    """What a search found, best first."""

    mode: Mode
    hits: tuple[Hit, ...]
    terms: tuple[tuple[str, float], ...]
    """What was searched for, heaviest first; empty for dense search."""
    encode_seconds: float
    search_seconds: float
    """In the index alone."""


@dataclass(frozen=True)
class TermMatch:
    """A term that query and document share."""

    term: str
    query: float
    document: float
    """Its stored weight."""

    @property
    def contribution(self) -> float:
        """What it adds to the score."""
        return self.query * self.document


@dataclass(frozen=True)
class Explanation:
    """Why a document has its score: the sum of what its terms add."""

    id: str
    title: str
    terms: tuple[TermMatch, ...]
    """Those that match, the one that adds most first."""
    missing: tuple[tuple[str, float], ...]
    """Terms of the query that the document lacks, heaviest first."""

    @property
    def score(self) -> float:
        """Of the sparse side."""
        return sum(match.contribution for match in self.terms)


@dataclass(frozen=True, eq=False)
class TextIndex:
    """Opened by `TextIndex.open(folder)`, made by `texts.build.build`. Many threads may search while one adds."""

    folder: Path
    store: Store
    encoder: TextEncoder | None
    """None for an index of vectors alone: it is asked with vectors."""
    fusion: Interpolation = field(default_factory=Interpolation)
    _writing: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], read_only: bool = False) -> Self:
        """Raises IndexFileError when there is no index or it is damaged, and ModelError when its encoder cannot be had."""
        folder = Path(folder)
        if not is_index(folder):
            raise IndexFileError(f"{folder} is no index. Make one: fewer index TEXTS --out {folder}")
        store = Store.open(folder / "store", read_only)
        try:
            name = store.about.get("encoder")
            encoder = opened(name, folder) if name else None
            if encoder is not None and encoder.dimension != store.dimension:
                raise IndexFileError(f"{folder} was made with another version of {name}. Index the texts anew.")
        except BaseException:
            store.close()
            raise
        return cls(folder, store, encoder)

    def __len__(self) -> int:
        return len(self.store)

    def close(self) -> None:
        """Let go of the files; waits for a writer."""
        with self._writing:
            self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def modes(self) -> tuple[Mode, ...]:
        """How it can be searched."""
        return MODES if self.store.about.get("dense") else ("sparse",)

    @property
    def measured(self) -> dict[str, Any] | None:
        """What the tuner measured on this index when it was made; None when it was not tuned."""
        path = self.folder / MEASURED
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    @cached_property
    def _how(self) -> Any:
        """How the store is searched: as the tuner chose; None where nothing was chosen."""
        chosen = self.store.about.get("how")
        return None if chosen is None else kind(self.store.kind).How(**chosen)

    @cached_property
    def _dense(self) -> "Dense":
        return dense_model(self.store.about["dense"])

    def warm(self) -> None:
        """Load the models and compile the search now, not at the first query. Raises ModelError as `open`."""
        if len(self):
            self.search(None, 1, vector=SparseVectors.from_rows([{0: 1.0}], self.store.dimension))
        if self.encoder is not None:
            self.encoder.encode(["search"], queries=True)
        if "dense" in self.modes:
            self._dense.encode(["search"])

    def search(
        self, query: str | None, k: int | None = None, mode: Mode | None = None, vector: SparseVectors | None = None
    ) -> Answer:
        """The k best documents for a text, or for the one row of `vector`.

        Args:
            k: 1 .. the number of documents; 10, or all when there are fewer, when not given.
            mode: one of `modes`; fused where there are dense vectors, when not given. A vector is searched for sparsely.

        Raises:
            VectorError: an empty query, or one without a known term.
            RetrievalError: k or `mode` out of range, or no document at all.
        """
        size = len(self)
        if not size:
            raise RetrievalError("the index holds no document yet. Add some first.")
        k = min(10, size) if k is None else k
        if not 1 <= k <= size:
            raise RetrievalError(f"k must be from 1 to the number of documents, {size}; given: {k}.")
        mode = mode or ("sparse" if vector is not None else self.modes[-1])
        if mode not in self.modes or (vector is not None and mode != "sparse"):
            raise RetrievalError(
                f'mode is "{mode}"; allowed: {"sparse, for a vector" if vector is not None else ", ".join(self.modes)}.'
                + (" The index was made without dense vectors." if mode in MODES and mode not in self.modes else "")
            )
        began = time.perf_counter()
        sparse = self.encoded(query, vector) if mode != "dense" else None
        dense = self._dense.encode([_said(query)]) if mode != "sparse" else None
        encoded = time.perf_counter()
        depth = k if mode != "fused" else min(size, max(DEPTH, k))
        lists: dict[str, dict[str, float]] = {}
        if sparse is not None:
            lists["sparse"] = {match.id: float(match.score) for match in self.store.search(sparse, depth, self._how)[0]}
        if dense is not None:
            lists["dense"] = {match.id: float(match.score) for match in self.store.search_dense(dense, depth)[0]}
        ranked = self._fused(lists, k) if mode == "fused" else [*lists[mode].items()]
        searched = time.perf_counter()
        terms = self._terms(sparse, query)
        hits = tuple(hit for name, score in ranked if (hit := self._hit(name, score, dict(terms), lists)))
        shown = terms if sparse is not None else ()
        return Answer(mode, hits, shown, encoded - began, searched - encoded)

    def _fused(self, lists: dict[str, dict[str, float]], k: int) -> list[tuple[str, float]]:
        names = list(dict.fromkeys([*lists["sparse"], *lists["dense"]]))
        numbers = {name: number for number, name in enumerate(names)}
        first, second = (
            Ranking(np.array([[numbers[name] for name in found]], np.int64), np.array([[*found.values()]], np.float64))
            for found in (lists["sparse"], lists["dense"])
        )
        fused = self.fusion.fuse(first, second, k)
        return [(names[d], float(s)) for d, s in zip(fused.documents[0], fused.scores[0], strict=True) if d >= 0]

    def _terms(self, sparse: SparseVectors | None, query: str | None) -> tuple[tuple[str, float], ...]:
        """The terms of a query with their weights, heaviest first; what dense results are marked by is its words."""
        if self.encoder is None:
            return ()
        if sparse is None:
            return tuple((span.term, 1.0) for span in self.encoder.spans(query or ""))
        components, values = sparse.row(0)
        order = np.argsort(-values, kind="stable")
        return tuple((self._term(int(components[i])), float(values[i])) for i in order)

    def _hit(self, name: str, score: float, terms: dict[str, float], lists: dict[str, dict[str, float]]) -> Hit | None:
        try:
            held = self.store.document(name)
        except RetrievalError:  # deleted since it was found
            return None
        spans = self.encoder.spans(held.text) if self.encoder is not None else []
        parts = {of: found[name] for of, found in lists.items() if name in found}
        return Hit(name, score, held.title, excerpt(held.text, spans, terms), parts)

    def encoded(self, query: str | None, vector: SparseVectors | None = None) -> SparseVectors:
        """A query as one row. Raises VectorError when it is empty, or has no known term."""
        if vector is not None:
            if len(vector) != 1 or not len(vector.values):
                raise VectorError("a query vector is one row with at least one component.")
            return vector
        text = _said(query)
        if self.encoder is None:
            raise VectorError("this index holds vectors without an encoder: ask it with a vector, not with a text.")
        found = self.encoder.encode([text], queries=True)
        if not len(found.values):
            raise VectorError(f"no word of the query is known to this index: {text[:80]!r}. Try other words.")
        return found

    def explain(self, query: str | None, name: str, vector: SparseVectors | None = None) -> Explanation:
        """Which terms of the query a document has, and what each adds to its score.

        Raises:
            VectorError: as `search`.
            RetrievalError: no such document.
        """
        components, values = self.encoded(query, vector).row(0)
        held = self.store.document(name)
        has = dict(zip(np.asarray(held.components).tolist(), np.asarray(held.values).tolist(), strict=True))
        pairs = [(self._term(c), v, has.get(c, 0.0)) for c, v in zip(components.tolist(), values.tolist(), strict=True)]
        matches = sorted((TermMatch(t, q, d) for t, q, d in pairs if d), key=lambda m: -m.contribution)
        missing = sorted(((t, q) for t, q, d in pairs if not d), key=lambda pair: -pair[1])
        return Explanation(name, held.title, tuple(matches), tuple(missing))

    def _term(self, component: int) -> str:
        """Its word, or its number where no word has it: vectors may come from elsewhere."""
        if self.encoder is not None:
            with suppress(RetrievalError):
                return self.encoder.term(component)
        return str(component)

    def add(self, documents: Sequence[Document], vectors: SparseVectors | None = None) -> int:
        """Add or replace documents; they are on disk when it returns. Returns how many.

        Raises:
            RetrievalError: an id twice, a text without a word, or no encoder and no vectors.
            VectorError: vectors that do not fit the index.
        """
        names = [document.id for document in documents]
        if len(set(names)) != len(names):
            raise RetrievalError("an id stands twice in what was to be added; each may come once.")
        texts = [document.whole for document in documents]
        if vectors is None:
            if self.encoder is None:
                raise RetrievalError("this index holds vectors without an encoder: add documents with their vectors.")
            vectors = self.encoder.encode(texts)
        if len(vectors) != len(documents):
            raise VectorError(f"{len(documents)} documents need as many vectors; given: {len(vectors)}.")
        if len(empty := np.flatnonzero(np.diff(vectors.starts) == 0)):
            raise RetrievalError(f"document {names[int(empty[0])]!r} holds no word that could be searched for.")
        dense = self._dense.encode(texts) if "dense" in self.modes else None
        with self._writing:
            self.store.add(names, vectors, [d.title for d in documents], [d.text for d in documents], dense)
        return len(names)

    def delete(self, names: Sequence[str]) -> int:
        """Returns how many of them were there."""
        with self._writing:
            return self.store.delete(list(names))

    def merge(self) -> None:
        """Make one segment of all, without what was deleted; searches go on."""
        with self._writing:
            self.store.merge()


def is_index(folder: Path) -> bool:
    """Whether an index of texts lies there."""
    return (folder / "store").is_dir()


def _said(query: str | None) -> str:
    if query is None or not query.strip():
        raise VectorError("the query is empty. Type at least one word.")
    return query
