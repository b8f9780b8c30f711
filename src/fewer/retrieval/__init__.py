"""Search over sparse vectors: encoders, indexes, feedback and fusion, evaluation. Names are imported when they are used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.retrieval.index.index import Hits, Index
    from fewer.retrieval.vectors import SparseVectors

_WHERE = {
    "Hits": "fewer.retrieval.index.index",
    "Index": "fewer.retrieval.index.index",
    "SparseVectors": "fewer.retrieval.vectors",
}
__all__ = ["Hits", "Index", "SparseVectors"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'fewer.retrieval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
