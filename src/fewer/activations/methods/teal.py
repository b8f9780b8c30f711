"""TEAL (Liu et al. 2024, arXiv 2408.14690): inputs of small magnitude are dropped, by one threshold a layer."""

from dataclasses import dataclass
from typing import ClassVar

from fewer.activations.method import InputMethod
from fewer.core import register


@register
@dataclass(frozen=True)
class TEAL(InputMethod):
    """Scores |x_j|. How much each layer drops, its authors choose greedily block by block: `search_sparsity`."""

    slug: ClassVar[str] = "teal"
