"""The keys that a new token attends to most, from the logits of dense decoding."""

import ctypes
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.core.topk import keep_largest
from fewer.errors import KernelError
from fewer.kernels.dispatch import cpu_path

LARGEST = 16  # lanes that are written at once, so that lists need room behind their end


def scores(logits: Float[Tensor, "batch heads keys"], sets: int) -> Float[Tensor, "batch sets keys"]:
    """What keys are ranked by: softmax weights summed over the heads of a set; with a set for each head, its own logits.

    Args:
        logits: in units of log 2, as `attention_decode.look` gives them.
    """
    if sets == logits.shape[1]:
        return logits
    return logits.mul(torch.log(torch.tensor(2.0))).softmax(-1).unflatten(1, (sets, -1)).sum(2)


def choose(logits: Float[Tensor, "batch heads wide"], keys: int, count: int, sets: int) -> Int[Tensor, "batch sets count"]:
    """The last key and the `count` - 1 others of the largest `scores`, ascending, int32; ties go to the lowest key.

    Args:
        logits: float32 of `attention_decode.look`; they are written over.
        keys: how many of each row are real.
        sets: that heads share: 1, the number of KV heads, or of heads.

    Raises:
        KernelError: counts that make no sense, or logits that are not finite.
    """
    batch, heads, wide = logits.shape
    if not (1 <= count <= keys <= wide and sets >= 1 and heads % sets == 0):
        raise KernelError(
            f"{count} of {keys} keys in {sets} sets for {heads} heads: give 1 to {keys} keys, sets that divide heads."
        )
    if cpu_path() == "reference" or not logits.is_cpu or wide % LARGEST:
        return _reference(logits[..., :keys], count, sets)
    from fewer.kernels.cpu.team import run

    room, out = torch.empty(batch, sets, wide), torch.empty(batch, sets, count + LARGEST, dtype=torch.int32)
    wrong = ctypes.c_int64()
    run(
        _kernel(),
        batch * sets,
        logits.data_ptr(),
        room.data_ptr(),
        out.data_ptr(),
        4 * out.shape[2],
        ctypes.addressof(wrong),
        wide,
        keys,
        keys - 1,
        count,
        heads,
        heads // sets,
    )
    if wrong.value:
        raise _not_finite()
    return out[..., :count]


def _reference(logits: Tensor, count: int, sets: int) -> Tensor:
    if not torch.isfinite(logits).all():
        raise _not_finite()
    ranked = scores(logits, sets)[..., :-1]
    kept = keep_largest(ranked.flatten(0, 1), count - 1).view(ranked.shape)
    last = torch.ones(*kept.shape[:2], 1, dtype=torch.bool, device=kept.device)
    return torch.cat([kept, last], -1).nonzero()[:, 2].view(*kept.shape[:2], count).int()


def _not_finite() -> KernelError:
    return KernelError("logits are NaN or infinite: no keys can be chosen by them.")


@cache
def _kernel() -> Any:
    from fewer.kernels.cpu.attention import choose as kernels

    return getattr(kernels, cpu_path())()
