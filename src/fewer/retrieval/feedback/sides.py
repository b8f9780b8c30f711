"""A collection made ready for feedback: every document scored by a dense and by a sparse search, and what is relevant."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64

from fewer.data.retrieval import Collection, Query, load
from fewer.retrieval.lexical.bm25 import BM25
from fewer.retrieval.lexical.tokens import Tokens
from fewer.retrieval.measures import Judgements
from fewer.retrieval.vectors import SparseVectors

Dense = Literal["lsa", "minilm"]
Sparse = Literal["bm25", "splade-tiny"]


@dataclass(frozen=True, eq=False)
class Sides:
    """One collection, its judged queries in an order of their own."""

    name: str
    documents: Float32[np.ndarray, "documents width"]
    """Of length 1."""
    queries: Float32[np.ndarray, "queries width"]
    sparse: Float64[np.ndarray, "queries documents"]
    """Scores of all documents."""
    judgements: Judgements


@lru_cache(maxsize=4)
def prepare(name: str, width: int, limit: int, dense: Dense = "lsa", sparse: Sparse = "bm25") -> Sides:
    """A collection under two searches.

    Args:
        width: dimensions of latent semantic analysis.
        limit: of the judged queries the first so many, in the order of their hashes; of documents all.
        dense: "lsa", a truncated SVD of log tf-idf (Deerwester et al. 1990), or "minilm", a sentence encoder.
        sparse: "bm25" (1.2, .75), or "splade-tiny", a learned encoder.

    Raises:
        DataError: the collection is unknown or cannot be had.
        ModelError: likewise an encoder.
    """
    collection = load(name)
    queries = _some(collection, limit)
    texts, asked = [d.whole for d in collection.documents], [q.text for q in queries]
    documents, moved = _latent(texts, asked, width) if dense == "lsa" else _encoded(texts, asked)
    return Sides(
        name=name,
        documents=documents,
        queries=moved,
        sparse=_lexical(texts, asked) if sparse == "bm25" else _learned(texts, asked),
        judgements=Judgements([q.id for q in queries], [d.id for d in collection.documents], collection.judgements),
    )


def about(name: str, limit: int) -> str:
    """What `prepare` takes of a collection, in words."""
    collection = load(name)
    queries = len(_some(collection, limit))
    return f"{name} ({len(collection.documents):,} documents, {queries} judged queries, {collection.source})"


def _some(collection: Collection, limit: int) -> list[Query]:
    judged = sorted(collection.judged, key=lambda query: sha256(query.id.encode()).digest())
    return judged[:limit]


def _lexical(texts: list[str], asked: list[str]) -> np.ndarray:
    bm25 = BM25("lucene", 1.2, 0.75).fit(texts)
    return _products(bm25.encode_queries(asked), bm25.encode_documents(texts))


def _learned(texts: list[str], asked: list[str]) -> np.ndarray:
    from fewer.retrieval.encoders.splade import Splade

    encoder = Splade.load()
    return _products(encoder.encode(asked), encoder.encode(texts))


def _products(queries: SparseVectors, documents: SparseVectors) -> np.ndarray:
    return (queries.to_scipy() @ documents.to_scipy().T).toarray().astype(np.float64)


def _encoded(texts: list[str], asked: list[str]) -> tuple[np.ndarray, np.ndarray]:
    from fewer.data.models import load_sentence_encoder

    encoder = load_sentence_encoder()
    return encoder.encode(texts).numpy(), encoder.encode(asked).numpy()


def _latent(texts: list[str], asked: list[str], width: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    weights = TfidfVectorizer(analyzer=Tokens(), sublinear_tf=True)
    seen = weights.fit_transform(texts)
    svd = TruncatedSVD(min(width, *(side - 1 for side in seen.shape)), algorithm="arpack", random_state=0).fit(seen)
    documents, queries = (normalize(svd.transform(rows)).astype(np.float32) for rows in (seen, weights.transform(asked)))
    return documents, queries
