"""Memory in pages of 2 MB where the system offers them: rows read here and there are then not looked up one page each."""

import contextlib
import mmap
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

PAGE = 2**21
"""Bytes of a huge page."""
LEAST = 2 * PAGE
"""Bytes from which on huge pages are asked for; less lies in a few hundred small pages, which processors remember."""

_OFFERED = hasattr(mmap, "MADV_HUGEPAGE")  # Linux


def empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """As `torch.empty` on the CPU; from `LEAST` bytes on it begins with a huge page.

    Asked for are transparent huge pages (madvise), which come with the first write. Without them it is memory like any
    other. A normal tensor in inference mode, too. A copy of it, `copy.deepcopy` included, lies in small pages.
    """
    size = prod(shape) * dtype.itemsize
    with torch.inference_mode(False):
        if not _OFFERED or size < LEAST:
            return torch.empty(*shape, dtype=dtype)
        # not torch's allocator: it may hand out memory that was written before, in small pages
        block = mmap.mmap(-1, (-(-size // PAGE) + 1) * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):  # a kernel without them
            block.madvise(mmap.MADV_HUGEPAGE)
        whole = torch.frombuffer(block, dtype=torch.uint8)  # keeps the block as long as it is used itself
        at = -whole.data_ptr() % PAGE
        return whole[at : at + size].view(dtype).view(*shape)
