"""The kinds of index by name; each is imported when it is asked for."""

from importlib import import_module

from fewer.errors import RetrievalError
from fewer.retrieval.index.index import Index

_WHERE = {
    "impact": ("fewer.retrieval.index.impact", "ImpactIndex"),
    "seismic": ("fewer.retrieval.index.seismic", "SeismicIndex"),
    "exact": ("fewer.retrieval.index.exact", "ExactIndex"),
}


def kinds() -> list[str]:
    """The names that `kind` knows."""
    return list(_WHERE)


def kind(name: str) -> type[Index]:
    """The class of that name. Raises RetrievalError for a name that is not known."""
    if name not in _WHERE:
        raise RetrievalError(f"the kinds of index are {', '.join(_WHERE)}; given: {name!r}.")
    module, of = _WHERE[name]
    return getattr(import_module(module), of)
