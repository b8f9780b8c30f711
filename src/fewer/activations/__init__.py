"""Sparse activations: linear layers that skip the inputs that hardly matter, and how few neurons of a network fire at all.

Names are imported when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.activations.installing import cats, r_sparse, restore, sparsify, teal
    from fewer.activations.kept_inputs import measure_inputs
    from fewer.activations.methods import CATS, TEAL, MagnitudeChannels, RSparse
    from fewer.activations.search.evolve import search_rho
    from fewer.activations.search.greedy import search_sparsity

_WHERE = {
    "CATS": "fewer.activations.methods",
    "MagnitudeChannels": "fewer.activations.methods",
    "RSparse": "fewer.activations.methods",
    "TEAL": "fewer.activations.methods",
    "cats": "fewer.activations.installing",
    "measure_inputs": "fewer.activations.kept_inputs",
    "r_sparse": "fewer.activations.installing",
    "restore": "fewer.activations.installing",
    "search_rho": "fewer.activations.search.evolve",
    "search_sparsity": "fewer.activations.search.greedy",
    "sparsify": "fewer.activations.installing",
    "teal": "fewer.activations.installing",
}
__all__ = [
    "CATS",
    "TEAL",
    "MagnitudeChannels",
    "RSparse",
    "cats",
    "measure_inputs",
    "r_sparse",
    "restore",
    "search_rho",
    "search_sparsity",
    "sparsify",
    "teal",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'fewer.activations' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
