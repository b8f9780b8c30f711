"""Sparse activations: linear layers that skip the inputs that hardly matter, and how few neurons of a network fire at all.

Names are imported when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.activations.installing import cats, r_sparse, restore, sparsify, teal
    from fewer.activations.kept_inputs import measure_inputs
    from fewer.activations.lazy.measure import Activations, measure
    from fewer.activations.lazy.sites import find_sites
    from fewer.activations.lazy.top_k import TopKLayers, TopKMLP, top_k
    from fewer.activations.methods import CATS, TEAL, MagnitudeChannels, RSparse
    from fewer.activations.search.evolve import search_rho
    from fewer.activations.search.greedy import search_sparsity

_WHERE = {
    "Activations": "fewer.activations.lazy.measure",
    "CATS": "fewer.activations.methods",
    "MagnitudeChannels": "fewer.activations.methods",
    "RSparse": "fewer.activations.methods",
    "TEAL": "fewer.activations.methods",
    "TopKLayers": "fewer.activations.lazy.top_k",
    "TopKMLP": "fewer.activations.lazy.top_k",
    "cats": "fewer.activations.installing",
    "find_sites": "fewer.activations.lazy.sites",
    "measure": "fewer.activations.lazy.measure",
    "measure_inputs": "fewer.activations.kept_inputs",
    "r_sparse": "fewer.activations.installing",
    "restore": "fewer.activations.installing",
    "search_rho": "fewer.activations.search.evolve",
    "search_sparsity": "fewer.activations.search.greedy",
    "sparsify": "fewer.activations.installing",
    "teal": "fewer.activations.installing",
    "top_k": "fewer.activations.lazy.top_k",
}
__all__ = [
    "CATS",
    "TEAL",
    "Activations",
    "MagnitudeChannels",
    "RSparse",
    "TopKLayers",
    "TopKMLP",
    "cats",
    "find_sites",
    "measure",
    "measure_inputs",
    "r_sparse",
    "restore",
    "search_rho",
    "search_sparsity",
    "sparsify",
    "teal",
    "top_k",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'fewer.activations' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
