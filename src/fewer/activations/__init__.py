"""Sparse activations: linear layers that skip the inputs that hardly matter, and how few neurons of a network fire at all.

Names are imported when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.activations.measure_inputs import measure_inputs
    from fewer.activations.methods import CATS, TEAL, MagnitudeChannels, RSparse
    from fewer.activations.search.evolve import search_rho
    from fewer.activations.search.greedy import search_sparsity
    from fewer.activations.sparsify import cats, r_sparse, restore, sparsify, teal

_WHERE = {
    "CATS": "fewer.activations.methods",
    "MagnitudeChannels": "fewer.activations.methods",
    "RSparse": "fewer.activations.methods",
    "TEAL": "fewer.activations.methods",
    "cats": "fewer.activations.sparsify",
    "measure_inputs": "fewer.activations.measure_inputs",
    "r_sparse": "fewer.activations.sparsify",
    "restore": "fewer.activations.sparsify",
    "search_rho": "fewer.activations.search.evolve",
    "search_sparsity": "fewer.activations.search.greedy",
    "sparsify": "fewer.activations.sparsify",
    "teal": "fewer.activations.sparsify",
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
