"""The terms of vectors that came from a file: a query is the terms it names."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from fewer.errors import IndexFileError, RetrievalError
from fewer.files import write_whole
from fewer.retrieval.texts.spans import Span
from fewer.retrieval.vectors import SparseVectors

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class Terms:
    """A query's value of a term is how often it stands there; impacts in the documents carry all weights.

    Texts of documents are not encoded: whoever adds some brings their vectors.
    """

    names: Sequence[str]
    _numbers: dict[str, int] = field(init=False, repr=False)
    name: str = "terms"

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {name: number for number, name in enumerate(self.names)})

    @classmethod
    def build(cls, names: Sequence[str], folder: Path) -> Self:
        """Keep the terms in `folder`."""
        write_whole(folder / "terms.json", json.dumps(list(names)))
        return cls(names)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises IndexFileError when they cannot be read."""
        try:
            return cls([str(name) for name in json.loads((folder / "terms.json").read_text(encoding="utf-8"))])
        except (OSError, ValueError, TypeError) as error:
            raise IndexFileError(f"the terms in {folder} cannot be read ({error}). Index the file anew.") from error

    @property
    def dimension(self) -> int:
        """How many terms there are."""
        return len(self.names)

    def encode(self, texts: Sequence[str], queries: bool = False) -> SparseVectors:
        """Counts of the known terms of queries: words of a text, as they are or in lower case. RetrievalError for documents."""
        if not queries:
            raise RetrievalError("the vectors of this index came from a file: add documents with their vectors.")
        counts = [Counter(self._numbers[span.term] for span in self.spans(text)) for text in texts]
        return SparseVectors.from_rows(counts, self.dimension)

    def term(self, component: int) -> str:
        """The term."""
        return self.names[component]

    def fingerprint(self, queries: bool) -> str:
        """Of how many terms there are; they belong to one index."""
        return f"terms-{len(self.names)}"

    def spans(self, text: str) -> list[Span]:
        """Where known terms stand."""
        found = []
        for match in _WORD.finditer(text):
            term = match[0] if match[0] in self._numbers else match[0].lower()
            if term in self._numbers:
                found.append(Span(*match.span(), term))
        return found
