"""Running text, to calibrate on and to measure perplexity on."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fewer.data import python_docs
from fewer.data.loaded import Loaded
from fewer.data.obtain import Found, known, obtain, on_this_machine
from fewer.data.places import Places
from fewer.errors import DataError

Split = Literal["calibration", "train", "test"]
"""`calibration` and `train` are two names for the same part; `test` shares no text with it."""

DEFAULT, EMBEDDED = "wikitext2", "python-topics"


@dataclass(frozen=True)
class Text(Loaded):
    """One part of a text set."""

    split: Split
    text: str


def load(name: str, split: Split = "calibration", data: str | os.PathLike[str] | None = None) -> str:
    """The text of one part of `name`; `read` says where it came from, too."""
    return read(name, split, data).text


def read(name: str, split: Split = "calibration", data: str | os.PathLike[str] | None = None) -> Text:
    """One part of the text set `name`.

    Raises DataError when the set is unknown, no text set, cannot be had, or differs from its sum.
    """
    entry = known(name)
    if name not in _PARTS:
        raise DataError(f"{name} is a set of kind {entry.kind}, not running text. Text sets: {', '.join(_PARTS)}.")
    if split not in ("calibration", "train", "test"):
        raise DataError(f"No split is called {split!r}. Allowed: calibration, train, test.")
    found = obtain(entry, Places.find(data))
    return Text(name=name, source=found.source, split=split, text=_PARTS[name](found, split == "test"))


def default_text(split: Split = "calibration", data: str | os.PathLike[str] | None = None) -> Text:
    """`wikitext2` when it is on this machine, else the embedded `python-topics`; the result says which.

    Raises DataError when a file is there but differs from its sum. Nothing is downloaded.
    """
    here = on_this_machine(known(DEFAULT), Places.find(data), [])
    return read(DEFAULT if here else EMBEDDED, split, data)


def detokenise(text: str) -> str:
    """Joins what WikiText-2's authors split: `@-@` and its like, and blanks before or after punctuation. `<unk>` stays."""
    text = re.sub(r" @([-,.])@ ", r"\1", text)
    text = re.sub(r" ([.,;:!?)\]])", r"\1", text)
    text = re.sub(r"([(\[]) ", r"\1", text)
    return re.sub(r" (n't|'(?:s|re|ve|ll|d|m))\b", r"\1", text)


def _wikitext2(found: Found, test: bool) -> str:
    return found.text("test.txt" if test else "valid.txt")


def _tinyshakespeare(found: Found, test: bool) -> str:
    whole = found.text("input.txt")
    border = len(whole) * 9 // 10
    return whole[border:] if test else whole[:border]


_PARTS: dict[str, Callable[[Found, bool], str]] = {
    "wikitext2": _wikitext2,
    "tinyshakespeare": _tinyshakespeare,
    "python-topics": lambda found, test: python_docs.topics(test),
    "python-docstrings": lambda found, test: python_docs.docstring_text(test),
}
