"""What kernels for attention take, and how their work is cut."""

from typing import NamedTuple

import torch
from torch import Tensor

from fewer.errors import KernelError

DIMS = (16, 32, 64, 128)
DTYPES = (torch.float16, torch.bfloat16, torch.float32)


class Launch(NamedTuple):
    """How attention with many queries is cut. Chosen by reasoning, not measured on a GPU."""

    rows: int
    """Queries in a program."""
    wide: int
    """Keys in a step."""
    warps: int
    stages: int
    """Steps whose keys and values are under way at once."""

    @classmethod
    def of(cls, q: Tensor, most: int) -> "Launch":
        """Tiles that leave a program at most 100 KiB of shared memory, as small GPUs have; with a step more under way where
        there are 160. Keys that are looked up in a list first need it.

        Args:
            most: queries that may share a list of keys; a tile of more would be in vain.
        """
        dim, half = q.shape[-1], q.element_size() == 2
        rows = 128 if half else (64 if dim <= 64 else 32)
        while rows > 16 and rows >= 2 * most:
            rows //= 2
        wide = 64 if half or dim <= 64 else 32
        return cls(rows, wide, 8 if dim == 128 and (rows == 128 or not half) else 4, 3 if _shared(q) >= 160 * 2**10 else 2)


def refusal(q: Tensor, k: Tensor, v: Tensor) -> str:
    """Why the kernels for attention do not take these; empty when they do."""
    if not q.dtype == k.dtype == v.dtype or q.dtype not in DTYPES:
        return f"q, k and v are {q.dtype}, {k.dtype} and {v.dtype}; give all in float16, bfloat16 or float32."
    if not q.shape[-1] == k.shape[-1] == v.shape[-1] or q.shape[-1] not in DIMS:
        return f"heads of {q.shape[-1]}, {k.shape[-1]} and {v.shape[-1]}; kernels take 16, 32, 64 or 128, all alike."
    if k.shape != v.shape or k.shape[0] != q.shape[0] or q.shape[1] % k.shape[1]:
        return (
            f"q is {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}; k and v must be alike, of q's batch, and their "
            "heads must divide q's."
        )
    if not q.device == k.device == v.device:
        return f"q, k and v lie on {q.device}, {k.device} and {v.device}; move them to one device."
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        return "gradients are wanted, and the kernels have none; call them under torch.no_grad()."
    return ""


def checked(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three with neighbouring components side by side; any other stride is left as it is, so that no cache is copied.

    Raises:
        KernelError: with the reason of `refusal`.
    """
    if why := refusal(q, k, v):
        raise KernelError(why)
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    return q, k, v


def scaled(q: Tensor, scale: float | None) -> float:
    return q.shape[-1] ** -0.5 if scale is None else scale


def firsts(first: Tensor | None, q: Tensor) -> Tensor:
    """Index of each sequence's first token, on q's device.

    Raises:
        KernelError: not one for each sequence.
    """
    if first is None:
        return torch.zeros(len(q), dtype=torch.int32, device=q.device)
    if first.shape != (len(q),):
        raise KernelError(f"first is {tuple(first.shape)}; give one index for each of the {len(q)} sequences.")
    return first.to(q.device, torch.int32)


def output(q: Tensor, empty: bool = True) -> Tensor:
    """[batch, heads, n, dim] that lies as [batch, n, heads, dim], as the projection behind attention wants it."""
    batch, heads, n, dim = q.shape
    make = torch.empty if empty else torch.zeros
    return make(batch, n, heads, dim, dtype=q.dtype, device=q.device).transpose(1, 2)


def strides(*tensors: Tensor) -> list[int]:
    """Of batch, head and position, of one after the other."""
    return [step for tensor in tensors for step in tensor.stride()[:3]]


def processors(x: Tensor) -> int:
    """Of its GPU; one in Triton's interpreter."""
    return torch.cuda.get_device_properties(x.device).multi_processor_count if x.is_cuda else 1


def _shared(x: Tensor) -> int:
    """Bytes of shared memory that a program may ask for, where the driver says so."""
    return getattr(torch.cuda.get_device_properties(x.device), "shared_memory_per_block_optin", 0) if x.is_cuda else 0
