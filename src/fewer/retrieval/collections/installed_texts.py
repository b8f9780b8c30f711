"""The documentation of everything that is installed here, as short texts: real prose, a hundred thousand and more."""

import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from fewer.data.python_docs import docstrings_of
from fewer.retrieval.texts.passages import passages

WORDS = 8
"""Words that a document has at least; a query has at least half as many."""
LARGEST = 160_000
"""Documents; more than that are thinned by their hash."""
QUERIES = 2_000

_WORD = re.compile(r"[A-Za-z]{2,}")
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_SENTENCE = re.compile(r".+?[.!?](?=\s|$)", re.DOTALL)


@dataclass(frozen=True)
class InstalledTexts:
    """Short texts, each once, in an order that they alone decide (of their hash)."""

    documents: tuple[str, ...]
    queries: tuple[str, ...]
    """First sentences of docstrings. No document is one of them; what followed them is among the documents."""


def installed_texts(largest: int = LARGEST, queries: int = QUERIES) -> InstalledTexts:
    """Paragraphs of the docstrings of the standard library and of every installed package, of the packages' descriptions, and
    of the topics of `help()`.

    Sources are read, never imported. What is found depends on what is installed, and `installation()` names that.
    """
    asked: dict[str, None] = {}
    found: dict[str, None] = {}
    for first, rest in _documented():
        if rest and _words(first) >= WORDS / 2:
            asked.setdefault(first)
        found.update(dict.fromkeys([first, *rest]))
    for text in _described():
        found.update(dict.fromkeys(_paragraphs(text)))
    chosen = sorted(asked, key=_hash)[:queries]
    for text in chosen:
        found.pop(text, None)
    long = (text for text in found if _words(text) >= WORDS)
    return InstalledTexts(tuple(sorted(long, key=_hash)[:largest]), tuple(chosen))


def installation() -> str:
    """A short hash of this Python's version and of the names and versions of what is installed."""
    packages = sorted({f"{found.name}=={found.version}" for found in distributions()})
    return hashlib.sha256("\n".join([sys.version, *packages]).encode()).hexdigest()[:16]


def _documented() -> Iterator[tuple[str, list[str]]]:
    """Of each docstring its first sentence, and the paragraphs of what follows it."""
    for root in _roots():
        for path in sorted(root.rglob("*.py")):
            place = path.relative_to(root)
            if path.is_file() and not {"site-packages", "dist-packages"} & set(place.parts):
                for doc in docstrings_of(path, place):
                    opening = doc.text.split("\n\n")[0]
                    sentence = _SENTENCE.match(opening)
                    end = sentence.end() if sentence else len(opening)
                    yield " ".join(doc.text[:end].split()), list(_paragraphs(doc.text[end:]))


def _roots() -> list[Path]:
    """The standard library's folder and those of installed packages, each once."""
    paths = sysconfig.get_paths()
    return [Path(path) for path in dict.fromkeys(paths[name] for name in ("stdlib", "purelib", "platlib"))]


def _described() -> Iterator[str]:
    from pydoc_data.topics import topics

    yield from topics.values()
    for package in distributions():
        yield package.read_text("METADATA") or ""


def _paragraphs(text: str) -> Iterator[str]:
    """With their spaces made single; one too long for an encoder in parts."""
    for paragraph in _PARAGRAPH.split(text):
        for part in passages(paragraph):
            yield " ".join(part.split())


def _words(text: str) -> int:
    return len(_WORD.findall(text))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()
