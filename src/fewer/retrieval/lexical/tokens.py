"""From text to terms: words in lower case, without stop words, stemmed."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from fewer.errors import MissingExtraError, RetrievalError

log = logging.getLogger("fewer.retrieval")

# fmt: off
STOP_WORDS = frozenset([
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "had", "has", "have", "he", "her", "his",
    "if", "in", "into", "is", "it", "its", "me", "my", "no", "not", "of", "on", "or", "our", "she", "so", "such",
    "that", "the", "their", "them", "then", "there", "these", "they", "this", "to", "was", "we", "were", "what",
    "when", "which", "who", "will", "with", "would", "you", "your",
])
# fmt: on
"""Words so common in English that they say nothing about a text."""


@dataclass(frozen=True)
class Tokens:
    """Splits texts into terms; call it with a text.

    Raises:
        RetrievalError: a pattern that cannot be read, or a language that the stemmer does not know.
        MissingExtraError: a stemmer was asked for by language, and PyStemmer is not installed.
    """

    pattern: str = r"\w\w+"
    """What a word is, as a regular expression; the text is in lower case by then."""
    stop_words: frozenset[str] = STOP_WORDS
    """Left out, before stemming."""
    stemmer: str = "auto"
    """A Snowball language such as "english", or "" for none; "auto" is English where PyStemmer is installed, else none (said
    once)."""
    _terms: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise RetrievalError(f"the pattern {self.pattern!r} is no regular expression: {error}.") from error
        object.__setattr__(self, "stop_words", frozenset(self.stop_words))
        if self.stemmer == "auto":
            object.__setattr__(self, "stemmer", _default_stemmer())
        _stem(self.stemmer)

    def __call__(self, text: str) -> list[str]:
        """The terms of a text, in order, repeated as they are."""
        terms = self._terms
        found = []
        for word in re.findall(self.pattern, text.lower()):
            if (term := terms.get(word)) is None:
                term = terms[word] = "" if word in self.stop_words else _stem(self.stemmer)(word)
            if term:
                found.append(term)
        return found

    def settings(self) -> dict[str, object]:
        """As JSON; `Tokens(**settings)` splits alike."""
        return {"pattern": self.pattern, "stop_words": sorted(self.stop_words), "stemmer": self.stemmer}


@cache
def _default_stemmer() -> str:
    try:
        import Stemmer  # noqa: F401
    except ImportError:
        log.warning('PyStemmer is not installed: words are not stemmed. pip install "fewer[search]" for that.')
        return ""
    return "english"


@cache
def _stem(language: str) -> Callable[[str], str]:
    if not language:
        return str
    try:
        import Stemmer
    except ImportError as error:
        raise MissingExtraError(
            f'stemming ({language}) needs PyStemmer: pip install "fewer[search]", or use stemmer="".'
        ) from error
    if language not in Stemmer.algorithms():
        raise RetrievalError(f"no stemmer for {language!r}; known: {', '.join(sorted(Stemmer.algorithms()))}.")
    return Stemmer.Stemmer(language).stemWord
