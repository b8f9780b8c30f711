"""Dense attention by our own kernels: what every sparse method is held against, and falls back to."""

from dataclasses import dataclass
from typing import ClassVar

from fewer.attention.executors import ALL
from fewer.attention.inputs import Inputs
from fewer.attention.keys import KeySet
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention
from fewer.core import register
from fewer.core.method import Kind


@register
@dataclass(frozen=True)
class DenseAttention(SparseAttention):
    """All keys of all queries, exactly."""

    slug: ClassVar[str] = "dense-attention"
    kind: ClassVar[Kind] = "dense"

    def attended(self, inputs: Inputs, memory: Memory) -> KeySet:
        return ALL
