"""Search over sparse vectors: encoders, indexes, feedback and fusion, evaluation. Names are imported when they are used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.retrieval.encoders.cache import Cached
    from fewer.retrieval.encoders.dense import Dense
    from fewer.retrieval.encoders.sparse_encoder import SentenceTransformersSparse
    from fewer.retrieval.encoders.splade import Splade
    from fewer.retrieval.evaluation import difference, evaluate
    from fewer.retrieval.expansion import Expansion
    from fewer.retrieval.feedback.fusion import Interpolation, reciprocal_ranks
    from fewer.retrieval.feedback.prf_interpolation import PRF
    from fewer.retrieval.feedback.ranking import Ranking
    from fewer.retrieval.feedback.rm3 import RM3
    from fewer.retrieval.feedback.vector import Average, Rocchio
    from fewer.retrieval.index.exact import ExactIndex
    from fewer.retrieval.index.impact import ImpactIndex
    from fewer.retrieval.index.index import Hits, Index
    from fewer.retrieval.index.seismic import SeismicIndex
    from fewer.retrieval.index.tuning import Tuned, best_index, tune
    from fewer.retrieval.lexical.bm25 import BM25
    from fewer.retrieval.shards.sharded_index import ShardedIndex
    from fewer.retrieval.shards.sharded_store import ShardedStore
    from fewer.retrieval.store.index_file import open_index, save_index
    from fewer.retrieval.store.store import Store
    from fewer.retrieval.vectors import SparseVectors

_WHERE = {
    "PRF": "fewer.retrieval.feedback.prf_interpolation",
    "RM3": "fewer.retrieval.feedback.rm3",
    "Average": "fewer.retrieval.feedback.vector",
    "BM25": "fewer.retrieval.lexical.bm25",
    "Cached": "fewer.retrieval.encoders.cache",
    "Dense": "fewer.retrieval.encoders.dense",
    "ExactIndex": "fewer.retrieval.index.exact",
    "Expansion": "fewer.retrieval.expansion",
    "Hits": "fewer.retrieval.index.index",
    "ImpactIndex": "fewer.retrieval.index.impact",
    "Index": "fewer.retrieval.index.index",
    "Interpolation": "fewer.retrieval.feedback.fusion",
    "Ranking": "fewer.retrieval.feedback.ranking",
    "Rocchio": "fewer.retrieval.feedback.vector",
    "SentenceTransformersSparse": "fewer.retrieval.encoders.sparse_encoder",
    "SeismicIndex": "fewer.retrieval.index.seismic",
    "ShardedIndex": "fewer.retrieval.shards.sharded_index",
    "ShardedStore": "fewer.retrieval.shards.sharded_store",
    "SparseVectors": "fewer.retrieval.vectors",
    "Splade": "fewer.retrieval.encoders.splade",
    "Store": "fewer.retrieval.store.store",
    "Tuned": "fewer.retrieval.index.tuning",
    "best_index": "fewer.retrieval.index.tuning",
    "difference": "fewer.retrieval.evaluation",
    "evaluate": "fewer.retrieval.evaluation",
    "open_index": "fewer.retrieval.store.index_file",
    "reciprocal_ranks": "fewer.retrieval.feedback.fusion",
    "save_index": "fewer.retrieval.store.index_file",
    "tune": "fewer.retrieval.index.tuning",
}
__all__ = [
    "BM25",
    "PRF",
    "RM3",
    "Average",
    "Cached",
    "Dense",
    "ExactIndex",
    "Expansion",
    "Hits",
    "ImpactIndex",
    "Index",
    "Interpolation",
    "Ranking",
    "Rocchio",
    "SeismicIndex",
    "SentenceTransformersSparse",
    "ShardedIndex",
    "ShardedStore",
    "SparseVectors",
    "Splade",
    "Store",
    "Tuned",
    "best_index",
    "difference",
    "evaluate",
    "open_index",
    "reciprocal_ranks",
    "save_index",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'fewer.retrieval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
