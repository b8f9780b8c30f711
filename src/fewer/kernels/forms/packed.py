"""What all compact forms share."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from fewer.errors import KernelError
from fewer.kernels import huge_pages
from fewer.kernels.dispatch import cpu_path

_LINE = 64  # bytes of a cache line


class Packed:
    """A matrix in a compact form. Entries that are zero are not kept; the others are kept bit for bit.

    A form overrides `pack`, `unpack`, `_operands` (for another device than the CPU: `multiply`), and `refusal` where there
    are matrices that do not fit. Instances are not changed after packing.
    """

    form: ClassVar[str]
    """Its name."""
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    """Types of device on which it multiplies."""
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32, torch.bfloat16)
    """Of the weights."""
    multiple: ClassVar[int] = 16
    """Rows of inputs are padded with zeros to a multiple of this."""

    shape: tuple[int, int]
    """(out, in) of the matrix."""
    values: Tensor
    """The kept weights, and what the form adds to fill its lanes."""

    @classmethod
    def pack(cls, matrix: Float[Tensor, "out in"]) -> Self:
        """The matrix in this form. Raises KernelError when it does not fit (`refusal` says why)."""
        raise NotImplementedError

    @classmethod
    def refusal(cls, matrix: Float[Tensor, "out in"]) -> str:
        """Why the matrix cannot be packed so; empty when it can."""
        if matrix.ndim == 2 and matrix.dtype in cls.dtypes and matrix.device.type in cls.devices:
            return ""
        types = " or ".join(str(dtype).removeprefix("torch.") for dtype in cls.dtypes)
        given = f"{tuple(matrix.shape)} of {matrix.dtype} on {matrix.device}"
        return f'form "{cls.form}" holds matrices of {types} on {" or ".join(cls.devices)}, not {given}.'

    @classmethod
    def check(cls, matrix: Float[Tensor, "out in"]) -> None:
        """Raise KernelError for what cannot be packed."""
        if why := cls.refusal(matrix):
            raise KernelError(why)

    def unpack(self) -> Float[Tensor, "out in"]:
        """The matrix, bit for bit but for the sign of zeros."""
        raise NotImplementedError

    def reference(self, x: Float[Tensor, "batch in"]) -> Float[Tensor, "batch out"]:
        """The product in torch, from the compact form: what every kernel is held against."""
        return x @ self.unpack().to(x.dtype).t()

    @property
    def nbytes(self) -> int:
        """Bytes of the form; a product reads each of them once."""
        return sum(v.nbytes for v in vars(self).values() if isinstance(v, Tensor))

    def multiply(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """x W^T in float32 arithmetic, in the type of `x`; weights are read from memory once for the whole batch.

        Made for a handful of vectors: arithmetic grows with the batch. Which path runs, `kernels.dispatch` says.
        """
        work = self.work
        if work is None:
            return self.reference(x)
        inputs = x if x.dtype is torch.float32 else x.float()
        width = self.shape[1]
        if short := -width % self.multiple:
            inputs = pad(inputs, (0, short))
        elif not inputs.is_contiguous():
            inputs = inputs.contiguous()
        out = torch.empty((*x.shape[:-1], self.height))
        work(x.numel() // width, inputs.data_ptr(), out.data_ptr())
        out = self._ordered(out)
        return out if x.dtype is torch.float32 else out.to(x.dtype)

    @property
    def height(self) -> int:
        """Rows of the result before `_ordered`."""
        return self.shape[0]

    def _ordered(self, out: Tensor) -> Tensor:
        return out

    @cached_property
    def work(self) -> Any:
        """The kernel with its operands; None where the reference is the path."""
        path = cpu_path()
        if path == "reference":
            return None
        from fewer.kernels.cpu.team import Work

        units, operands = self._operands()
        width = self.shape[1] + -self.shape[1] % self.multiple
        return Work(_kernel(self.form, path), units, width, self.height, self.values.dtype == torch.bfloat16, *operands)

    def _operands(self) -> tuple[int, tuple[int, ...]]:
        """Units of work, and what the kernel wants besides: addresses and sizes."""
        raise NotImplementedError


def settle(forms: Sequence[Packed]) -> None:
    """Move their arrays into one block of memory, in order; those on another device than the CPU stay where they are.

    Such a block lies in huge pages (`huge_pages`): a product of a megabyte then meets a page or two, not hundreds, and takes
    an eighth less time (960 x 576 at 2:4).
    """
    forms = [form for form in forms if form.values.device.type == "cpu"]
    arrays = [(form, name, v) for form in forms for name, v in vars(form).items() if isinstance(v, Tensor)]
    block = huge_pages.empty((sum(_LINE * -(-v.nbytes // _LINE) for _, _, v in arrays) + _LINE,), torch.uint8)
    at = -block.data_ptr() % _LINE
    for form, name, array in arrays:
        moved = block[at : at + array.nbytes].view(array.dtype).view(array.shape)
        setattr(form, name, moved.copy_(array))
        at += _LINE * -(-array.nbytes // _LINE)
    for form in forms:
        vars(form).pop("work", None)  # it has the old addresses


def padded(matrix: Tensor, rows: int, columns: int) -> Tensor:
    """With zeros added, so that `rows` and `columns` divide its sides."""
    down, right = -matrix.shape[0] % rows, -matrix.shape[1] % columns
    return pad(matrix, (0, right, 0, down)) if down or right else matrix


def _kernel(form: str, path: str) -> Any:
    from fewer.kernels.cpu import table

    return table.kernel(form, path)
