"""The forms by name."""

from jaxtyping import Float
from torch import Tensor

from fewer.errors import KernelError
from fewer.kernels.forms.bitmask import Bitmask
from fewer.kernels.forms.blocks import Blocks
from fewer.kernels.forms.dense import DenseForm
from fewer.kernels.forms.packed import Packed
from fewer.kernels.forms.semi_structured import SemiStructured
from fewer.kernels.forms.sliced import Sliced
from fewer.kernels.forms.strips import Strips
from fewer.kernels.forms.two_four import TwoFour

FORMS: dict[str, type[Packed]] = {
    form.form: form for form in (DenseForm, TwoFour, Bitmask, Sliced, Strips, SemiStructured, Blocks)
}


def pack(matrix: Float[Tensor, "out in"], form: str) -> Packed:
    """The matrix in the form of that name. Raises KernelError when there is none, or the matrix does not fit."""
    if form not in FORMS:
        raise KernelError(f'form "{form}" is unknown; allowed: {", ".join(FORMS)}.')
    return FORMS[form].pack(matrix)
