"""Search over sparse vectors: encoders, indexes, feedback and fusion, evaluation. Names are imported when they are used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.retrieval.index.index import Hits, Index
    from fewer.retrieval.store.index_file import open_index, save_index
    from fewer.retrieval.store.store import Store
    from fewer.retrieval.vectors import SparseVectors

_WHERE = {
    "Hits": "fewer.retrieval.index.index",
    "Index": "fewer.retrieval.index.index",
    "SparseVectors": "fewer.retrieval.vectors",
    "Store": "fewer.retrieval.store.store",
    "open_index": "fewer.retrieval.store.index_file",
    "save_index": "fewer.retrieval.store.index_file",
}
__all__ = ["Hits", "Index", "SparseVectors", "Store", "open_index", "save_index"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'fewer.retrieval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
