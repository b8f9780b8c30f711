"""Products that read only the weights of large inputs, in Triton. Import this module only where `gpu_path()` is "triton". The
reference is `attention_reference.columns`.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from fewer.errors import KernelError
from fewer.kernels.gpu.operands import DTYPES, processors


class Launch(NamedTuple):
    """How the work is cut. Chosen by reasoning, not measured on a GPU."""

    tile: int
    """Rows of x in a program: weights are read that any of them wants."""
    outputs: int
    inputs: int
    """In a step: weights of one input are read as one run of `outputs` values."""
    parts: int
    """That the inputs are split into, so that there are programs enough."""

    @classmethod
    def of(cls, rows: int, width: int, out: int, room: int) -> "Launch":
        """For about `room` programs. A step of one row is 16 KiB of half-precision weights."""
        tile, outputs, inputs = (1, 128, 64) if rows == 1 else (16, 64, 64)
        programs = triton.cdiv(out, outputs) * triton.cdiv(rows, tile)
        return cls(tile, outputs, inputs, max(1, min(triton.cdiv(width, inputs), room // max(1, programs))))


def columns(
    x: Float[Tensor, "rows in"],
    weight: Float[Tensor, "in out"],
    threshold: float | Float[Tensor, " in"],
    down: Float[Tensor, "in rank"] | None = None,
    up: Float[Tensor, "rank out"] | None = None,
) -> Float[Tensor, "rows out"]:
    """x m W + x (1 - m) down up with m = |x| > threshold (R-Sparse, arXiv 2504.19449). Sums are float32; x m W is not rounded
    before the low-rank part is added, while x (1 - m) down is, to the type of `up`.

    The saving is that of one row. Of several, weights are read that any of 16 wants: of a density d the share 1 - (1 - d)^16.

    Args:
        weight: by input, rows contiguous: weights of a dropped input are never read.

    Raises:
        KernelError: types, shapes or devices that the kernel does not take.
    """
    _check(x, weight, threshold, down, up)
    y = product(x, weight, threshold, rest=False)
    if down is not None and up is not None:
        low = product(x, down, threshold, rest=True)
        y += low.to(up.dtype) @ up
    return y.to(x.dtype)


def product(
    x: Float[Tensor, "rows in"], weight: Float[Tensor, "in out"], threshold: float | Float[Tensor, " in"], rest: bool
) -> Float[Tensor, "rows out"]:
    """In float32, of the inputs above their threshold or, with `rest`, of all others."""
    (rows, width), out = x.shape, weight.shape[1]
    x = x if x.stride(1) == 1 else x.contiguous()
    weight = weight if weight.stride(1) == 1 else weight.contiguous()
    each = isinstance(threshold, Tensor) and threshold.ndim > 0
    if isinstance(threshold, Tensor):
        threshold = threshold.to(x.device, torch.float32).contiguous() if each else float(threshold)
    cut = Launch.of(rows, width, out, 4 * processors(x))
    sums = torch.empty(cut.parts, rows, out, device=x.device)
    if sums.numel() == 0:
        return torch.zeros(rows, out, device=x.device)
    chunk = triton.cdiv(triton.cdiv(width, cut.parts), cut.inputs) * cut.inputs
    grid = (triton.cdiv(out, cut.outputs), cut.parts, triton.cdiv(rows, cut.tile))
    skipping[grid](
        *(x, weight, threshold, sums, rows, width, out, chunk, x.stride(0), weight.stride(0)),
        *(each, rest, cut.tile, cut.outputs, cut.inputs),
        num_warps=4,
        num_stages=2,
    )
    return sums[0] if cut.parts == 1 else sums.sum(0)


@triton.jit
def skipping(
    x,  # [rows, width]
    weight,  # [width, results]
    threshold,  # [width], or a number
    sums,  # [parts, rows, results]
    rows,
    width,
    results,
    chunk,
    x_step,
    weight_step,
    EACH: tl.constexpr,
    REST: tl.constexpr,
    TILE: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr,
):  # pragma: no cover - compiled
    """OUTPUTS results of TILE rows, over one part of the inputs."""
    row = tl.program_id(2).to(tl.int64) * TILE + tl.arange(0, TILE)
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    begin = tl.program_id(1) * chunk
    end = tl.minimum(begin + chunk, width)
    total = tl.zeros((TILE, OUTPUTS), tl.float32)
    for at in range(begin, end, INPUTS):
        channel = at + tl.arange(0, INPUTS)
        inside = (row < rows)[:, None] & (channel < end)[None, :]
        values = tl.load(x + row[:, None] * x_step + channel[None, :], mask=inside, other=0.0)
        limit = tl.load(threshold + channel, mask=channel < end, other=0.0)[None, :] if EACH else threshold
        small = tl.abs(values.to(tl.float32)) <= limit
        wanted = inside & (small if REST else ~small)
        values = tl.where(wanted, values, 0.0).to(values.dtype)
        read = (tl.max(wanted.to(tl.int32), 0) > 0)[:, None] & (output < results)[None, :]
        there = channel.to(tl.int64)[:, None] * weight_step + output[None, :]
        w = tl.load(weight + there, mask=read, other=0.0)
        if TILE == 1:
            total += tl.sum(tl.trans(values).to(tl.float32) * w.to(tl.float32), 0)[None, :]
        elif w.dtype == values.dtype:
            total = tl.dot(values, w, total, input_precision="ieee")
        else:
            total = tl.dot(values.to(tl.float32), w.to(tl.float32), total, input_precision="ieee")
    line = (tl.program_id(1) * rows + row)[:, None] * results
    tl.store(sums + line + output[None, :], total, mask=(row < rows)[:, None] & (output < results)[None, :])


def _check(x: Tensor, weight: Tensor, threshold: float | Tensor, down: Tensor | None, up: Tensor | None) -> None:
    given = [t for t in (x, weight, down, up) if t is not None]
    if any(t.dtype not in DTYPES or t.device != x.device or t.ndim != 2 for t in given):
        told = ", ".join(f"{tuple(t.shape)} of {t.dtype} on {t.device}" for t in given)
        raise KernelError(f"{told}; give matrices of float16, bfloat16 or float32 on one device.")
    wide, tall = weight.shape
    low = [None if t is None else tuple(t.shape) for t in (down, up)]
    fits = low == [None, None] or (down is not None and low == [(wide, down.shape[1]), (down.shape[1], tall)])
    each = not isinstance(threshold, Tensor) or threshold.ndim == 0 or threshold.shape == (wide,)
    if x.shape[1] != wide or not each or not fits:
        raise KernelError(
            f"x {tuple(x.shape)}, weight {tuple(weight.shape)}, threshold {tuple(getattr(threshold, 'shape', ()))}, low-rank "
            f"{low}; x must be as wide as the weight has rows, the threshold be one number or one for each input, and down and "
            "up come together: [in, rank], [rank, out]."
        )
