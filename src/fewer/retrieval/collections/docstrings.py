"""The real collection: documentation of what is installed, encoded with SPLADE-tiny."""

import sys

import numpy as np

from fewer.retrieval.collections.collection import SearchCollection, kept
from fewer.retrieval.collections.installed_texts import LARGEST, QUERIES, installation, installed_texts
from fewer.retrieval.encoders.cache import Cached
from fewer.retrieval.encoders.splade import Splade


def docstrings(documents: int = LARGEST, queries: int = QUERIES) -> SearchCollection:
    """Up to so many texts and questions; how many there are depends on what is installed, and the name says it.

    Known-item search: a question is the first sentence of a docstring whose other paragraphs are documents. Made once
    (some minutes to read, 200 texts a second to encode), then kept in the cache folder; an interruption costs a part of it.
    """

    def make() -> SearchCollection:
        print("reading the docstrings of what is installed", file=sys.stderr, flush=True)
        texts = installed_texts(documents, queries)
        if len(texts.documents) < documents:
            print(
                f"this installation has {len(texts.documents):,} texts, fewer than {documents:,}", file=sys.stderr, flush=True
            )
        encoder = Cached(Splade.load("splade-tiny"))
        asked = encoder.encode(texts.queries, queries=True)
        found = encoder.encode(texts.documents)
        return SearchCollection(f"{len(found):,} docstrings, SPLADE-tiny", _not_empty(found), _not_empty(asked))

    return kept(f"docstrings-{documents}-{queries}-{installation()}", make)


def _not_empty(vectors):
    return vectors[np.diff(vectors.starts) > 0]
