"""BM25 over a vocabulary that grows: the encoder that needs no model, and the one for collections that change."""

import json
import math
import os
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from fewer.errors import IndexFileError, RetrievalError
from fewer.files import write_whole
from fewer.retrieval.lexical.bm25 import BM25
from fewer.retrieval.lexical.tokens import Tokens
from fewer.retrieval.lexical.variants import gain, idf
from fewer.retrieval.texts.spans import Span
from fewer.retrieval.vectors import SparseVectors

SMALLEST = 1 << 16
"""Components that a vocabulary has room for at least."""
ROOM = 4
"""Times the words of the first texts: what it has room for."""
_DEFAULT = BM25()


@dataclass(frozen=True)
class Statistics:
    """Of the texts that an index began with: they hold until it is built anew."""

    documents: int
    mean_words: float
    dimension: int
    frequencies: tuple[int, ...]
    """In how many documents each of the first words stands."""
    tokens: dict[str, Any]
    """How texts are split: `Tokens.settings()`."""


@dataclass(frozen=True, eq=False)
class Words:
    """BM25 (Lucene's) as an inner product: a document's value of a word is its gain, a query's its idf times its count.

    New words of added texts get new components; as they were in no text before, they count as the rarest. `words.txt` is
    added to, and synced, before a vector with a new component leaves.

    Raises:
        MissingExtraError: the index was made with a stemmer that is not installed here.
    """

    folder: Path
    statistics: Statistics
    _names: list[str] = field(repr=False)
    _numbers: dict[str, int] = field(init=False, repr=False)
    _tokens: Tokens = field(init=False, repr=False)
    _rare: np.ndarray = field(init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    name: str = "bm25"

    def __post_init__(self) -> None:
        known = self.statistics
        object.__setattr__(self, "_numbers", {name: number for number, name in enumerate(self._names)})
        object.__setattr__(self, "_tokens", Tokens(**known.tokens))
        found_in = np.array([*known.frequencies, 0], np.float64)
        object.__setattr__(self, "_rare", idf("lucene", found_in, known.documents))

    @classmethod
    def build(cls, texts: Sequence[str], folder: Path) -> Self:
        """Count the words of `texts`, and keep them in `folder`. Raises RetrievalError when there are none."""
        tokens = Tokens()
        seen: Counter[str] = Counter()
        total = 0
        for text in texts:
            found = tokens(text)
            total += len(found)
            seen.update(dict.fromkeys(found, 1))
        if not seen:
            raise RetrievalError("the texts hold no word that could be searched for.")
        dimension = max(SMALLEST, 1 << math.ceil(math.log2(ROOM * len(seen))))
        names = sorted(seen)
        frequencies = tuple(seen[name] for name in names)
        statistics = Statistics(len(texts), total / len(texts), dimension, frequencies, tokens.settings())
        write_whole(folder / "words.txt", "".join(f"{name}\n" for name in names))
        write_whole(folder / "words.json", json.dumps(vars(statistics)))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises IndexFileError when its files are damaged."""
        try:
            held = json.loads((folder / "words.json").read_text(encoding="utf-8"))
            statistics = Statistics(
                int(held["documents"]),
                float(held["mean_words"]),
                int(held["dimension"]),
                tuple(map(int, held["frequencies"])),
                dict(held["tokens"]),
            )
            names = (folder / "words.txt").read_text(encoding="utf-8").split("\n")[:-1]  # a torn last line has no vector yet
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IndexFileError(f"the vocabulary in {folder} cannot be read ({error}). Index the texts anew.") from error
        if len(set(names)) != len(names) or not len(statistics.frequencies) <= len(names) <= statistics.dimension:
            raise IndexFileError(f"the vocabulary in {folder} is damaged. Index the texts anew.")
        return cls(folder, statistics, names)

    @property
    def dimension(self) -> int:
        """How many words there is room for."""
        return self.statistics.dimension

    def encode(self, texts: Sequence[str], queries: bool = False) -> SparseVectors:
        """One row a text. Unknown words of queries are left out; those of documents join the vocabulary.

        Raises RetrievalError when the vocabulary is full.
        """
        counts = [Counter(self._tokens(text)) for text in texts]
        if not queries:
            self._learn({word for count in counts for word in count})
        rows = [self._query(count) if queries else self._document(count) for count in counts]
        return SparseVectors.from_rows(rows, self.dimension)

    def _query(self, count: Counter[str]) -> dict[int, float]:
        known = {self._numbers[word]: times for word, times in count.items() if word in self._numbers}
        return {word: times * float(self._rare[min(word, len(self._rare) - 1)]) for word, times in known.items()}

    def _document(self, count: Counter[str]) -> dict[int, float]:
        times = np.array([*count.values()], np.float64)
        length = np.full(len(times), count.total() / self.statistics.mean_words)
        gained = gain("lucene", times, length, _DEFAULT.k1, _DEFAULT.b, _DEFAULT.delta)
        return dict(zip((self._numbers[word] for word in count), gained.tolist(), strict=True))

    def _learn(self, words: set[str]) -> None:
        with self._lock:
            new = sorted(words - self._numbers.keys())
            if not new:
                return
            if len(self._numbers) + len(new) > self.dimension:
                raise RetrievalError(
                    f"the vocabulary is full: {self.dimension:,} words. Index all texts anew to make it larger."
                )
            with (self.folder / "words.txt").open("r+b") as file:
                file.seek(sum(len(name.encode()) + 1 for name in self._names))  # over what a crash tore
                file.truncate()
                file.write("".join(f"{word}\n" for word in new).encode())
                file.flush()
                os.fsync(file.fileno())
            self._numbers.update({word: number for number, word in enumerate(new, len(self._names))})
            self._names.extend(new)

    def term(self, component: int) -> str:
        """The word. Raises RetrievalError for a component that no word has."""
        if not 0 <= component < len(self._names):
            raise RetrievalError(f"no word has the component {component}; there are {len(self._names):,}.")
        return self._names[component]

    def fingerprint(self, queries: bool) -> str:
        """Of the words as they are now: they grow."""
        return f"bm25-{len(self._names)}-{self.statistics.documents}-{self.statistics.mean_words}-{queries}"

    def spans(self, text: str) -> list[Span]:
        """Its words, where they stand."""
        lower = text.lower()
        if len(lower) != len(text):  # a few capitals become two letters
            lower = "".join(c if len(c.lower()) != 1 else c.lower() for c in text)
        found = ((match.span(), self._tokens(match[0])) for match in re.finditer(self._tokens.pattern, lower))
        return [Span(*where, terms[0]) for where, terms in found if terms]
