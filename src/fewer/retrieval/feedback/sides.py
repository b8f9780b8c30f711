"""A collection made ready for feedback: every document scored by a dense and by a sparse search, and what is relevant."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np
from jaxtyping import Float32, Float64

from fewer.data.retrieval import Collection, Query, load
from fewer.retrieval.lexical.bm25 import BM25
from fewer.retrieval.lexical.tokens import Tokens
from fewer.retrieval.measures import Judgements


@dataclass(frozen=True, eq=False)
class Sides:
    """One collection, its judged queries in an order of their own."""

    name: str
    documents: Float32[np.ndarray, "documents width"]
    """Of length 1."""
    queries: Float32[np.ndarray, "queries width"]
    sparse: Float64[np.ndarray, "queries documents"]
    """BM25 scores of all documents."""
    judgements: Judgements


@lru_cache(maxsize=4)
def prepare(name: str, width: int, limit: int, k1: float = 1.2, b: float = 0.75) -> Sides:
    """Dense: latent semantic analysis, a truncated SVD of log tf-idf (Deerwester et al. 1990). Sparse: BM25 of the same terms.

    Args:
        width: dimensions of the SVD.
        limit: of the judged queries the first so many, in the order of their hashes; of documents all.

    Raises:
        DataError: the collection is unknown or cannot be had.
    """
    collection = load(name)
    queries = _some(collection, limit)
    bm25 = BM25("lucene", k1, b, tokens=Tokens())
    texts, asked = [d.whole for d in collection.documents], [q.text for q in queries]
    impacts = bm25.index(texts).encode_documents(texts).to_scipy()
    wanted = bm25.encode_queries(asked)
    documents, moved = _latent(texts, asked, bm25.tokens, width)
    return Sides(
        name=name,
        documents=documents,
        queries=moved,
        sparse=(wanted.to_scipy() @ impacts.T).toarray().astype(np.float64),
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


def _latent(texts: list[str], asked: list[str], tokens: Tokens, width: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    weights = TfidfVectorizer(analyzer=tokens, sublinear_tf=True)
    seen = weights.fit_transform(texts)
    svd = TruncatedSVD(min(width, *(side - 1 for side in seen.shape)), algorithm="arpack", random_state=0).fit(seen)
    documents, queries = (normalize(svd.transform(rows)).astype(np.float32) for rows in (seen, weights.transform(asked)))
    return documents, queries
