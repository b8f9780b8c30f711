"""Long texts in parts that an encoder reads whole."""

import re
from collections.abc import Iterator

WORDS = 160
"""Words a passage holds at most: SPLADE's and MiniLM's 256 tokens hold about as many."""

_PARAGRAPH = re.compile(r"(?:[^\n]*\S[^\n]*(?:\n|\Z))+")
_SENTENCE = re.compile(r".+?(?:[.!?]+(?=\s)|\n|\Z)", re.DOTALL)


def passages(text: str, words: int = WORDS) -> list[str]:
    """`text` in passages of at most `words` words, in order; nothing but blank space between them is lost.

    Cut is where a reader would: between paragraphs, within a long one between sentences or lines, else between words.
    Neighbours are joined while they fit, so that only the last passage of a text is short.
    """
    found: list[str] = []
    held: list[str] = []
    size = 0
    for piece, count in _pieces(text, words):
        if size and size + count > words:
            found.append("".join(held).strip())
            held, size = [], 0
        held.append(piece)
        size += count
    if size:
        found.append("".join(held).strip())
    return found


def _pieces(text: str, words: int) -> Iterator[tuple[str, int]]:
    """Paragraphs, sentences or runs of words with how many words each has, none above `words`."""
    for paragraph in _PARAGRAPH.findall(text):
        count = len(paragraph.split())
        if count <= words:
            yield paragraph.rstrip() + "\n\n", count
            continue
        for sentence in _SENTENCE.findall(paragraph):
            parts = sentence.split()
            if len(parts) <= words:
                yield sentence, len(parts)
                continue
            for start in range(0, len(parts), words):
                chosen = parts[start : start + words]
                yield f" {' '.join(chosen)} ", len(chosen)
        yield "\n\n", 0
