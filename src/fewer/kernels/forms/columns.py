"""Columns: weights stored by input, so that a product can leave out the inputs that hardly matter."""

from collections.abc import Sequence
from functools import cache, cached_property
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from fewer.errors import KernelError
from fewer.kernels.attention_reference import columns as reference
from fewer.kernels.dispatch import cpu_path
from fewer.kernels.forms.packed import padded

LANES = 16
DTYPES = (torch.float32, torch.bfloat16)
WIDEST = 2**17
"""Inputs of the widest layer: what a thread notes of them lies on its stack."""


class Columns:
    """One matrix by input, the thresholds of its inputs, and a low-rank copy for those that stay below (`columns`).

    The weights are there once: `weight` is a view, in the usual order of sides, for dense products. `settle` may move arrays
    as long as no `ColumnProduct` has multiplied.
    """

    values: Float[Tensor, "in+rank out"]
    """A row for each input, then the second factor; outputs are filled up to a multiple of 16."""

    def __init__(
        self,
        weight: Float[Tensor, "out in"],
        thresholds: Float[Tensor, " in"],
        down: Float[Tensor, "in rank"] | None = None,
        up: Float[Tensor, "rank out"] | None = None,
    ):
        """`thresholds`: of |x|; an input that is larger, or NaN, is multiplied by its weights, any other by `down` and `up`.

        Raises:
            KernelError: weights that are not float32 or bfloat16 on the CPU, or shapes that do not belong together.
        """
        out, width = weight.shape
        rank = 0 if down is None or up is None else down.shape[1]
        if weight.dtype not in DTYPES or weight.device.type != "cpu" or width > WIDEST:
            raise KernelError(
                f"columns holds float32 or bfloat16 on the CPU, of at most {WIDEST} inputs; given: {tuple(weight.shape)} of "
                f"{weight.dtype} on {weight.device}."
            )
        if thresholds.shape != (width,) or (rank and (down.shape, up.shape) != ((width, rank), (rank, out))):  # type: ignore[union-attr]
            raise KernelError(
                f"weights {out} x {width} need {width} thresholds and factors {width} x r and r x {out}; given: thresholds "
                f"{tuple(thresholds.shape)}, factors {None if down is None else tuple(down.shape)} and "
                f"{None if up is None else tuple(up.shape)}."
            )
        self.shape, self.rank = (out, width), rank
        rows = width + rank + -rank % LANES
        self.values = weight.new_zeros(rows, out + -out % LANES)
        self.values[:width, :out] = weight.t()
        self.thresholds = pad(thresholds.float(), (0, -width % LANES), value=torch.inf)
        self.down: Tensor | None = None
        if rank:
            self.values[width : width + rank, :out] = up  # type: ignore[assignment]
            self.down = padded(down.to(weight.dtype), LANES, LANES)  # type: ignore[union-attr]

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        return self.values[: self.shape[1], : self.shape[0]].t()

    def factors(self) -> tuple[Tensor | None, Tensor | None]:
        """(down, up) of the low-rank copy; (None, None) without one."""
        if self.down is None:
            return None, None
        width = self.shape[1]
        return self.down[:width, : self.rank], self.values[width : width + self.rank, : self.shape[0]]

    def reference(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """The product in torch: what the kernel is held against."""
        factors = (None if f is None else f.to(x.dtype) for f in self.factors())
        flat = x.reshape(-1, x.shape[-1])
        product = reference(flat, self.weight.t().to(x.dtype), self.thresholds[: self.shape[1]].double(), *factors)
        return product.view(*x.shape[:-1], self.shape[0])

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.thresholds.nbytes + (0 if self.down is None else self.down.nbytes)


class ColumnProduct:
    """Products of one vector, or of a few one by one, with several matrices in one go: they read the same inputs.

    Parts are not changed afterwards. Calls from several Python threads at once are safe.
    """

    def __init__(self, parts: Sequence[Columns]):
        """Raises KernelError when the parts differ in inputs or in type."""
        self.parts = tuple(parts)
        widths, types = {p.shape[1] for p in self.parts}, {p.values.dtype for p in self.parts}
        if len(widths) != 1 or len(types) != 1:
            raise KernelError(f"parts must read the same inputs in one type; these read {widths} in {types}.")
        self._heights = [p.values.shape[1] for p in self.parts]
        self.height = sum(self._heights)
        self._exact = self._heights == [self.parts[0].shape[0]]

    def multiply(self, x: Float[Tensor, "*batch in"]) -> list[Float[Tensor, "*batch out"]]:
        """One result for each part, in the type of `x`; arithmetic is float32. Which path runs, `kernels.dispatch` says."""
        work = self.work
        if work is None:
            return [part.reference(x.float()).to(x.dtype) for part in self.parts]
        inputs = x if x.dtype is torch.float32 else x.float()
        width = x.shape[-1]
        if width % LANES:
            inputs = pad(inputs, (0, -width % LANES))
        elif not inputs.is_contiguous():
            inputs = inputs.contiguous()
        out = torch.empty((*x.shape[:-1], self.height))
        work(x.numel() // width, inputs.data_ptr(), out.data_ptr())
        if x.dtype is not torch.float32:
            out = out.to(x.dtype)
        if self._exact:
            return [out]
        split = out.split_with_sizes(self._heights, -1)
        return [y[..., : part.shape[0]] for y, part in zip(split, self.parts, strict=True)]

    @cached_property
    def work(self) -> Any:
        """The kernel with its operands; None where the reference is the path."""
        path = cpu_path()
        if path == "reference":
            return None
        from fewer.kernels.cpu.team import Work

        rows, at = [], 0
        for part in self.parts:
            table, down = part.values, part.down
            step = table.shape[1] * table.element_size()
            rank, address = (0, 0) if down is None else (down.shape[1], down.data_ptr())
            places = part.thresholds.data_ptr(), table.data_ptr(), step, table.shape[1], 4 * at, rank, address, part.shape[1]
            rows.append([len(part.thresholds), *places])
            at += table.shape[1]
        self._described = torch.tensor(rows)  # the parts as the kernel knows them
        most = max(row[0] + row[6] for row in rows)
        half = self.parts[0].values.dtype == torch.bfloat16
        return Work(_kernel(path), 1, rows[0][0], at, half, len(rows), self._described.data_ptr(), most)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "work"}  # copies lie elsewhere


@cache
def _kernel(path: str) -> Any:
    return getattr(import_module("fewer.kernels.cpu.columns"), path)()
