"""What pushing is, whatever the engine: documents in batches, those that are there already passed over, refusals told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fewer.errors import FewerError, RetrievalError
from fewer.retrieval.index.index import Index
from fewer.retrieval.vectors import SparseVectors

Progress = Callable[[int, int], None]
"""Called after each batch with (documents dealt with, documents in all)."""


class Refused(NamedTuple):
    """A document that the engine did not take."""

    id: str
    reason: str


class Pushed(NamedTuple):
    """What became of the documents."""

    sent: int
    """Taken by the engine."""
    present: int
    """There already, and left as they are."""
    empty: int
    """Without a term: nothing could find them, and they were not sent."""
    refused: tuple[Refused, ...]


class Batch(NamedTuple):
    """Documents of one request."""

    ids: list[str]
    rows: list[int]


class Sender:
    """One engine. A subclass says which ids are there, and sends."""

    def present(self, ids: list[str]) -> set[str]:
        """Those of `ids` that the engine holds."""
        raise NotImplementedError

    def send(self, batch: Batch) -> list[Refused]:
        """Send, and wait until the engine has answered for every document."""
        raise NotImplementedError


def push(
    sender: Sender, ids: Sequence[str], vectors: SparseVectors, batch: int, resume: bool, progress: Progress | None
) -> Pushed:
    """Batch by batch. A connection that breaks is an error; called again with `resume`, it goes on where it was.

    Raises:
        RetrievalError: the connection broke; the message says how far it came.
    """
    sent, present, refused = 0, 0, []
    filled = np.diff(vectors.starts) > 0
    for first, part in _batches(ids, filled, batch):
        try:
            known = sender.present(part.ids) if resume and part.ids else set()
            new = [(name, row) for name, row in zip(part.ids, part.rows, strict=True) if name not in known]
            failed = sender.send(Batch([n for n, _ in new], [r for _, r in new])) if new else []
        except FewerError:
            raise
        except Exception as error:  # clients raise what their transports raise
            done = f"{sent:,} of {len(ids):,} documents were sent"
            raise RetrievalError(f"{type(error).__name__}: {error}. {done}; push again with resume=True to go on.") from error
        sent, present = sent + len(new) - len(failed), present + len(known)
        refused += failed
        if progress is not None:
            progress(min(first + batch, len(ids)), len(ids))
    return Pushed(sent, present, int((~filled).sum()), tuple(refused))


def checked(
    ids: Sequence[str], vectors: SparseVectors | Index, documents: Sequence[Mapping[str, Any]] | None, batch: int
) -> SparseVectors:
    """The vectors, once everything fits. Raises RetrievalError when it does not."""
    found = vectors.vectors() if isinstance(vectors, Index) else vectors
    if len(ids) != len(found) or (documents is not None and len(documents) != len(found)):
        given = f"{len(ids)} ids" + ("" if documents is None else f" and {len(documents)} documents")
        raise RetrievalError(f"every vector needs an id, and other fields are given for all or none: {len(found)}, {given}.")
    seen: set[str] = set()
    for name in ids:
        if not isinstance(name, str) or not name or name in seen:
            raise RetrievalError(f"ids are texts, none empty and each once; given: {name!r}.")
        seen.add(name)
    if batch < 1:
        raise RetrievalError(f"a batch holds at least 1 document; given: {batch}.")
    return found


def _batches(ids: Sequence[str], filled: np.ndarray, size: int) -> Iterator[tuple[int, Batch]]:
    for first in range(0, len(ids), size):
        rows = [row for row in range(first, min(first + size, len(ids))) if filled[row]]
        yield first, Batch([ids[row] for row in rows], rows)
