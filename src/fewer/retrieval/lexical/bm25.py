"""BM25 as sparse vectors: with documents as impacts and queries as counts, an inner product is a BM25 score."""

import io
import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float32

from fewer.errors import IndexFileError, RetrievalError, VectorError
from fewer.files import write_whole
from fewer.retrieval.index.exact import ExactHow, ExactIndex
from fewer.retrieval.index.index import Hits, Index
from fewer.retrieval.index.kinds import kind as index_kind
from fewer.retrieval.lexical.tokens import Tokens
from fewer.retrieval.lexical.variants import VARIANTS, Variant, gain, gain_of_none, idf
from fewer.retrieval.vectors import SparseVectors

FORMAT = "fewer-bm25-1"


@dataclass
class BM25:
    """Search by words. `BM25().index(texts).search(["a query"], k=10)`.

    Attributes ending in _ are learned: `vocabulary_` (term -> component), `found_in_` (documents with each term),
    `documents_` (how many there were), `mean_length_` (in terms), `index_`.

    Raises:
        RetrievalError: a parameter out of range.
    """

    variant: Variant = "lucene"
    k1: float = 1.5
    """How slowly repetitions of a term lose their worth; 0 or more."""
    b: float = 0.75
    """How much long documents are held against their length; 0 .. 1."""
    delta: float = 0.5
    """What "bm25l" and "bm25+" add; 0 or more."""
    tokens: Tokens = field(default_factory=Tokens)

    vocabulary_: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    found_in_: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64), init=False, repr=False)
    documents_: int = field(default=0, init=False)
    mean_length_: float = field(default=0.0, init=False)
    index_: Index | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise RetrievalError(f"the variants of BM25 are {', '.join(VARIANTS)}; given: {self.variant!r}.")
        if not (self.k1 >= 0 and 0 <= self.b <= 1 and self.delta >= 0):
            raise RetrievalError(
                f"BM25 needs k1 >= 0, b from 0 to 1 and delta >= 0; given: k1 {self.k1}, b {self.b}, delta {self.delta}."
            )

    def fit(self, texts: Iterable[str]) -> Self:
        """Learn the vocabulary and the statistics of a collection. Raises RetrievalError when it has no word."""
        self._learn(self._read(texts, grow=True))
        return self

    def index(self, texts: Iterable[str], kind: str = "exact", **options: Any) -> Self:
        """`fit`, then build an index of that kind over the texts; documents are numbered as they come."""
        counts, lengths = self._learn(self._read(texts, grow=True))
        self.index_ = index_kind(kind).build(self._impacts(counts, lengths), **options)
        return self

    def encode_documents(self, texts: Iterable[str]) -> SparseVectors:
        """Impacts of texts under the learned statistics; a text without a known term has an empty row."""
        return self._impacts(*self._read(texts, grow=False))

    def encode_counts(self, texts: Iterable[str]) -> SparseVectors:
        """How often each known term stands in each text; a text without one has an empty row."""
        return self._read(texts, grow=False)[0]

    def encode_queries(self, texts: Iterable[str]) -> SparseVectors:
        """Counts: a term that is asked twice counts twice."""
        return self.encode_counts(texts)

    def shift(self, queries: SparseVectors) -> Float32[np.ndarray, " queries"]:
        """What "bm25l" and "bm25+" give every document, also those that share no term with the query; else 0."""
        worth = idf(self.variant, self.found_in_, self.documents_) * gain_of_none(self.variant, self.k1, self.delta)
        total = np.concatenate([[0.0], np.cumsum(queries.values * worth[queries.components])])
        return np.diff(total[queries.starts]).astype(np.float32)

    def search(self, texts: Sequence[str], k: int = 10, how: Any = None, threads: int = 1) -> Hits:
        """The k best documents of each query with their BM25 scores; documents that share no term are not found.

        `how` is the index's own when not given; an exact index is then searched with bounds, which pays for few words.

        Raises:
            RetrievalError: nothing is indexed yet, or as `Index.search`.
            VectorError: a query without any term of the vocabulary; the message names it.
        """
        if self.index_ is None:
            raise RetrievalError("nothing is indexed yet: call index(texts) first.")
        queries = self.encode_queries(texts)
        if len(empty := np.flatnonzero(np.diff(queries.starts) == 0)):
            raise VectorError(f"query {empty[0]} has no term of the collection: {texts[empty[0]][:80]!r}.")
        if how is None and isinstance(self.index_, ExactIndex):
            how = ExactHow("bounded")
        hits = self.index_.search(queries, k, how, threads)
        hits.scores[...] += np.where(hits.documents >= 0, self.shift(queries)[:, None], 0)
        return hits

    def save(self, path: str | Path) -> Path:
        """Write everything learned, the index included, as one .npz file without pickles."""
        settings = {
            "format": FORMAT,
            "parameters": {"variant": self.variant, "k1": self.k1, "b": self.b, "delta": self.delta},
            "tokens": self.tokens.settings(),
            "documents": self.documents_,
            "mean_length": self.mean_length_,
            "vocabulary": list(self.vocabulary_),
            "index": None if self.index_ is None else {"kind": self.index_.kind, "settings": self.index_.settings()},
        }
        arrays: dict[str, Any] = (
            {} if self.index_ is None else {f"index/{name}": array for name, array in self.index_.arrays().items()}
        )
        buffer = io.BytesIO()
        np.savez(buffer, settings=np.frombuffer(json.dumps(settings).encode(), np.uint8), found_in=self.found_in_, **arrays)
        return write_whole(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What `save` wrote.

        Raises:
            IndexFileError: no such file, or one that is damaged or of another format.
            MissingExtraError: it was stemmed, and PyStemmer is not installed.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            settings = json.loads(arrays["settings"].tobytes())
            if settings["format"] != FORMAT:
                raise ValueError(f"its format is {settings['format']!r}, not {FORMAT!r}")
            made = cls(**settings["parameters"], tokens=Tokens(**settings["tokens"]))
            made.vocabulary_ = {term: number for number, term in enumerate(settings["vocabulary"])}
            made.found_in_ = arrays["found_in"]
            made.documents_, made.mean_length_ = int(settings["documents"]), float(settings["mean_length"])
            if len(made.found_in_) != len(made.vocabulary_):
                raise ValueError(f"{len(made.vocabulary_)} terms, {len(made.found_in_)} counts")
            if about := settings["index"]:
                parts = {name.removeprefix("index/"): array for name, array in arrays.items() if name.startswith("index/")}
                made.index_ = index_kind(about["kind"]).from_arrays(parts, about["settings"])
        except (OSError, EOFError, BadZipFile, KeyError, ValueError, TypeError) as error:
            raise IndexFileError(f"{path} holds no BM25 that can be read: {error}. Save it again.") from error
        return made

    def _read(self, texts: Iterable[str], grow: bool) -> tuple[SparseVectors, np.ndarray]:
        """Counts of known terms (all of them, numbered as they come, when it may `grow`), and every text's length in terms."""
        if isinstance(texts, str):
            raise RetrievalError("texts are a list of texts; given: one text. Put it in a list.")
        if not grow and not self.vocabulary_:
            raise RetrievalError("no vocabulary is learned yet: call fit(texts) or index(texts) first.")
        known: dict[str, int] = {} if grow else self.vocabulary_
        numbers, ends, lengths = array("i"), array("q", [0]), array("q")
        for text in texts:
            terms = self.tokens(text)
            lengths.append(len(terms))
            if grow:
                numbers.extend([known.setdefault(term, len(known)) for term in terms])
            else:
                numbers.extend([known[term] for term in terms if term in known])
            ends.append(len(numbers))
        if grow:
            if not known:
                raise RetrievalError("the collection has no word: every text is empty, or all its words are stop words.")
            self.vocabulary_ = known
        return _counted(np.asarray(numbers, np.int32), np.asarray(ends), len(known)), np.asarray(lengths, np.int64)

    def _learn(self, read: tuple[SparseVectors, np.ndarray]) -> tuple[SparseVectors, np.ndarray]:
        counts, lengths = read
        self.found_in_ = np.bincount(counts.components, minlength=counts.dimension)
        self.documents_, self.mean_length_ = len(lengths), float(lengths.mean())
        self.index_ = None
        return read

    def _impacts(self, counts: SparseVectors, lengths: np.ndarray) -> SparseVectors:
        """idf * (gain - gain of none) of every count; those that are worth nothing are left out."""
        length = np.repeat(lengths / self.mean_length_, np.diff(counts.starts))
        gained = gain(self.variant, counts.values.astype(np.float64), length, self.k1, self.b, self.delta)
        gained -= gain_of_none(self.variant, self.k1, self.delta)
        rare = idf(self.variant, self.found_in_, self.documents_)
        impacts = (rare[counts.components] * gained).astype(np.float32)
        kept = impacts > 0
        starts = np.concatenate([[0], np.cumsum(kept)])[counts.starts]
        return SparseVectors(starts, counts.components[kept], impacts[kept], counts.dimension)


def _counted(numbers: np.ndarray, starts: np.ndarray, dimension: int) -> SparseVectors:
    """Rows of term numbers as sorted rows of counts."""
    from scipy.sparse import csr_array

    counts = csr_array((np.ones(len(numbers), np.float32), numbers, starts), shape=(len(starts) - 1, dimension))
    counts.sum_duplicates()
    return SparseVectors.from_scipy(counts)
