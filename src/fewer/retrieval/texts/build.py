"""Texts in, an index in a folder out."""

import json
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fewer.data.retrieval import Document
from fewer.errors import RetrievalError
from fewer.files import write_whole
from fewer.retrieval.index.kinds import kinds
from fewer.retrieval.store.store import Store
from fewer.retrieval.texts.encoders import TextEncoder, dense_model, sparse_model
from fewer.retrieval.texts.measured import ENOUGH, Choice, choose
from fewer.retrieval.texts.sources import Source
from fewer.retrieval.texts.terms import Terms
from fewer.retrieval.texts.text_index import MEASURED
from fewer.retrieval.texts.words import Words
from fewer.retrieval.vectors import SparseVectors

BATCH = 2048
"""Documents that are added to the store at once."""
SAMPLES = 200
"""Queries that a choice is made by, and checked by."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """What came of it."""

    folder: Path
    documents: int
    kind: str
    choice: Choice | None
    """None where the kind was given, or there are too few documents to measure."""
    skipped: tuple[str, ...]
    """Ids of texts without a word that could be searched for."""


def build(
    source: Source,
    folder: Path,
    encoder: str = "splade-tiny",
    dense: str | None = "minilm",
    kind: str = "auto",
    recall: float = 0.95,
    overwrite: bool = False,
    say: Say = lambda _: None,
) -> Built:
    """Encode, choose a kind of index, write the folder: it appears whole or not at all.

    Texts go through a model once a machine: cut off, a second call goes on where the first stopped.

    Args:
        encoder: bm25, or a SPLADE model by name, folder or hub id; not read where the source brings vectors.
        dense: a sentence encoder, for dense and fused search; None leaves both out.
        kind: auto measures on the collection itself; or impact, seismic, exact.
        recall: what a chosen setting must reach at 10 results.
        say: is told what happens.

    Raises:
        RetrievalError: the folder exists, an option is out of range, or nothing can be indexed.
        ModelError: an encoder cannot be had.
    """
    if kind != "auto" and kind not in kinds():
        raise RetrievalError(f'the kinds of index are auto, {", ".join(kinds())}; given: "{kind}".')
    if not 0 < recall <= 1:
        raise RetrievalError(f"recall must be above 0 and at most 1; given: {recall}.")
    if folder.exists() and not overwrite:
        raise RetrievalError(f"{folder} is there already. Give another --out, or --overwrite to replace it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    beside.mkdir()
    try:
        built = _fill(beside, source, encoder, dense, kind, recall, say)
        _exchange(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return Built(folder, built.documents, built.kind, built.choice, built.skipped)


def _fill(folder: Path, source: Source, name: str, dense: str | None, kind: str, recall: float, say: Say) -> Built:
    documents = source.documents
    texts = [document.whole for document in documents]
    say(f"{len(texts):,} passages of {source.name}")
    encoder = _encoder(folder, source, name, texts)
    sentences = dense_model(dense, cached=True) if dense and source.vectors is None else None
    vectors = encoder.encode(texts) if encoder and source.vectors is None else source.vectors
    assert vectors is not None
    there = np.diff(vectors.starts) > 0
    skipped = tuple(document.id for document, any_word in zip(documents, there, strict=True) if not any_word)
    documents = tuple(document for document, any_word in zip(documents, there, strict=True) if any_word)
    if not documents:
        raise RetrievalError(f"no text of {source.name} holds a word that could be searched for.")
    vectors = vectors[there]
    rows = None if sentences is None else sentences.encode([document.whole for document in documents])
    choice = None
    if kind == "auto":
        choice = _choice(encoder, documents, vectors, recall, say)
        kind = choice.kind if choice else "exact"
    about = {
        "encoder": encoder.name if encoder else None,
        "dense": None if rows is None else dense,
        "source": source.name,
        "how": asdict(choice.how) if choice else None,
    }
    store = Store.create(folder / "store", vectors.dimension, kind, 0 if rows is None else rows.shape[1], about)
    try:
        for low in range(0, len(documents), BATCH):
            part = documents[low : low + BATCH]
            inner = None if rows is None else rows[low : low + BATCH]
            names, titles, bodies = ([getattr(d, field) for d in part] for field in ("id", "title", "text"))
            store.add(names, vectors[low : low + BATCH], titles, bodies, inner)
        store.merge()
    finally:
        store.close()
    if choice:
        write_whole(folder / MEASURED, json.dumps(choice.figures(recall)))
    return Built(folder, len(documents), kind, choice, skipped)


def _encoder(folder: Path, source: Source, name: str, texts: list[str]) -> TextEncoder | None:
    """None for vectors whose components have no names."""
    if source.vectors is not None:
        return Terms.build(source.terms, folder) if source.terms else None
    return Words.build(texts, folder) if name == "bm25" else sparse_model(name, cached=True)


def _choice(
    encoder: TextEncoder | None, documents: tuple[Document, ...], vectors: SparseVectors, recall: float, say: Say
) -> Choice | None:
    """By the first sentences of documents drawn at random; None when there are too few documents."""
    if len(documents) < ENOUGH:
        return None
    say("measuring which kind of index is fastest on them")
    drawn = np.random.default_rng(0).permutation(len(documents))
    sampled = drawn[: 2 * SAMPLES]
    if encoder is None or not any(documents[i].text for i in sampled):  # documents as queries: all that is known
        return choose(vectors, vectors[sampled], recall)
    queries = encoder.encode([first_words(documents[i].text) for i in sampled], queries=True)
    return choose(vectors, queries[np.diff(queries.starts) > 0], recall)


def first_words(text: str, most: int = 12) -> str:
    """The first sentence, of at most `most` words: what people ask is as short."""
    sentence = re.split(r"(?<=[.!?])\s|\n\n", text.strip(), maxsplit=1)[0]
    return " ".join(sentence.split()[:most])


def _exchange(made: Path, folder: Path) -> None:
    """`made` takes the place of `folder`."""
    if folder.exists():
        old = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
        folder.rename(old)
        made.rename(folder)
        shutil.rmtree(old)
    else:
        made.rename(folder)
