"""Which parts of a text a term stands for, and the best stretch of it to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

SHOWN = 320
"""Characters of a text that a result shows."""


class Span(NamedTuple):
    """text[start:stop] is a term."""

    start: int
    stop: int
    term: str


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a text with the places to mark."""

    text: str
    marks: tuple[tuple[int, int], ...]
    """start, stop: of `text`, in order, apart from each other."""
    cut: tuple[bool, bool]
    """Whether the text goes on before, and after."""


def pieces(tokenizer: Any, text: str) -> list[Span]:
    """What a model's tokenizer reads in a text, and where; a piece marks the whole word that it stands in."""
    found = tokenizer(text, return_offsets_mapping=True, truncation=False, add_special_tokens=False, verbose=False)
    spans = []
    for (start, stop), term in zip(found["offset_mapping"], tokenizer.convert_ids_to_tokens(found["input_ids"]), strict=True):
        if not any(letter.isalnum() for letter in text[start:stop]):
            continue
        while start > 0 and text[start - 1].isalnum():
            start -= 1
        while stop < len(text) and text[stop].isalnum():
            stop += 1
        spans.append(Span(start, stop, term))
    return spans


def excerpt(text: str, spans: Sequence[Span], weights: Mapping[str, float], shown: int = SHOWN) -> Excerpt:
    """The stretch of at most about `shown` characters in which the terms of most weight stand, each counted once."""
    hits = [span for span in spans if span.term in weights]
    start = _best_start(hits, weights, shown)
    low = max(0, start - shown // 8) if len(text) > shown else 0
    if low:
        space = text.find(" ", low, start)
        low = space + 1 if space >= 0 else start
    high = min(len(text), low + shown)
    if high < len(text):
        space = text.rfind(" ", low + shown // 2, high)
        high = space if space > 0 else high
    marks: list[tuple[int, int]] = []
    for begin, end in sorted({(span.start, span.stop) for span in hits if span.start >= low and span.stop <= high}):
        if marks and begin - low < marks[-1][1]:
            marks[-1] = (marks[-1][0], max(marks[-1][1], end - low))
        else:
            marks.append((begin - low, end - low))
    return Excerpt(text[low:high], tuple(marks), (low > 0, high < len(text)))


def _best_start(hits: Sequence[Span], weights: Mapping[str, float], shown: int) -> int:
    """Where the window of most weight begins: at one of the hits, or at 0."""
    best, at, first = 0.0, 0, 0
    held: dict[str, int] = {}
    total = 0.0
    for last in hits:
        held[last.term] = held.get(last.term, 0) + 1
        total += weights[last.term] if held[last.term] == 1 else 0.0
        while last.stop - hits[first].start > shown * 3 // 4 and hits[first] is not last:
            held[hits[first].term] -= 1
            total -= weights[hits[first].term] if held[hits[first].term] == 0 else 0.0
            first += 1
        if total > best + 1e-9:
            best, at = total, hits[first].start
    return at
