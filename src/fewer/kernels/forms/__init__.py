"""Compact forms of a weight matrix, and their products with a few vectors: one class for each, one interface.

packed = pack(matrix, "bitmask")
y = packed.multiply(x)      # [batch, in] -> [batch, out]
"""

from fewer.kernels.forms.bitmask import Bitmask
from fewer.kernels.forms.blocks import Blocks
from fewer.kernels.forms.dense import DenseForm
from fewer.kernels.forms.packed import Packed, settle
from fewer.kernels.forms.semi_structured import SemiStructured
from fewer.kernels.forms.sliced import Sliced
from fewer.kernels.forms.strips import Strips
from fewer.kernels.forms.table import FORMS, pack
from fewer.kernels.forms.two_four import TwoFour

__all__ = [
    "FORMS",
    "Bitmask",
    "Blocks",
    "DenseForm",
    "Packed",
    "SemiStructured",
    "Sliced",
    "Strips",
    "TwoFour",
    "pack",
    "settle",
]
