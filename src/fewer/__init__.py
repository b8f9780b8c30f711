"""Fewer weights, activations, attended tokens, features, postings, bytes, pixels and labels - with proof that it pays.

    import fewer
    model = fewer.prune(model, "wanda", density=0.5, calibration=tokens)
    fewer.save(model, "out/")
    results = fewer.compare("wanda", task="smollm2-perplexity", budgets=[0.5, 0.3])
    results.show()

Nothing heavy is imported until it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewer.catalog import System, systems
    from fewer.comparing import compare, methods
    from fewer.decoding.fusing import fuse, unfuse
    from fewer.errors import FewerError
    from fewer.weights.accelerate.choose import accelerate, decelerate
    from fewer.weights.iso_flop.transform import iso_flop
    from fewer.weights.loading import load
    from fewer.weights.prune import prune
    from fewer.weights.saving import reapply, save
    from fewer.weights.search.search import random_search
    from fewer.weights.training.attach import attach
    from fewer.weights.training.callback import SparsityCallback

__version__ = "0.1.0"
__all__ = [
    "FewerError",
    "SparsityCallback",
    "System",
    "__version__",
    "accelerate",
    "attach",
    "compare",
    "decelerate",
    "fuse",
    "iso_flop",
    "load",
    "methods",
    "prune",
    "random_search",
    "reapply",
    "save",
    "systems",
    "unfuse",
]

_WHERE = {
    "FewerError": "fewer.errors",
    "System": "fewer.catalog",
    "systems": "fewer.catalog",
    "methods": "fewer.comparing",
    "accelerate": "fewer.weights.accelerate.choose",
    "decelerate": "fewer.weights.accelerate.choose",
    "fuse": "fewer.decoding.fusing",
    "unfuse": "fewer.decoding.fusing",
    "iso_flop": "fewer.weights.iso_flop.transform",
    "prune": "fewer.weights.prune",
    "save": "fewer.weights.saving",
    "load": "fewer.weights.loading",
    "reapply": "fewer.weights.saving",
    "random_search": "fewer.weights.search.search",
    "attach": "fewer.weights.training.attach",
    "SparsityCallback": "fewer.weights.training.callback",
}


def __getattr__(name: str) -> Any:
    if name in ("compare", "retrieval"):  # packages; the first is also called: see fewer/compare/__init__.py
        return import_module(f"fewer.{name}")
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'fewer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
