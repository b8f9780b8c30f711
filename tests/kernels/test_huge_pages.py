import copy
import gc
import mmap
import weakref
from pathlib import Path

import pytest
import torch

from fewer.kernels import huge_pages
from fewer.kernels.huge_pages import LEAST, PAGE, empty

OFFERED = pytest.mark.skipif(not huge_pages._OFFERED, reason="no madvise for huge pages")


def advised(address):
    """The flags that Linux keeps of the mapping at an address."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            low, high = (int(x, 16) for x in first.split("-"))
            inside = low <= address < high
        if inside and first == "VmFlags:":
            return line.split()[1:]
    return []


@pytest.mark.parametrize(
    ("shape", "dtype"), [((3, 5), torch.float32), ((1025, 1024, 2), torch.bfloat16), ((LEAST + 1,), torch.uint8)]
)
@pytest.mark.parametrize("inference", [False, True])
def test_a_tensor_is_one_like_any_other(shape, dtype, inference):
    with torch.inference_mode(inference):
        made = empty(shape, dtype)
        made.fill_(3)
    assert made.shape == shape and made.dtype == dtype and made.is_contiguous() and not made.is_inference()
    assert bool((made == 3).all()) and torch.equal(copy.deepcopy(made), made)
    made += 1  # outside of inference mode


@OFFERED
def test_large_ones_begin_with_a_page_and_are_advised():
    large = empty((LEAST // 4,), torch.float32)
    assert large.data_ptr() % PAGE == 0
    assert "hg" in advised(large.data_ptr())


@OFFERED
def test_memory_goes_with_the_last_view_of_it(monkeypatch):
    blocks = []

    class Noted(mmap.mmap):
        def __init__(self, *_):
            blocks.append(weakref.ref(self))

    monkeypatch.setattr(mmap, "mmap", Noted)
    view = empty((LEAST,), torch.uint8)[5:7]
    gc.collect()
    view.fill_(1)
    assert blocks[0]() is not None
    del view
    gc.collect()
    assert blocks[0]() is None


def test_without_an_offer_it_is_plain_memory(monkeypatch):
    monkeypatch.setattr(huge_pages, "_OFFERED", False)
    assert empty((LEAST,), torch.uint8).fill_(1).sum() == LEAST


@OFFERED
def test_a_refusal_of_the_system_is_no_error(monkeypatch):
    class Refused(mmap.mmap):
        def madvise(self, *_):
            raise OSError("Invalid argument")

    monkeypatch.setattr(mmap, "mmap", Refused)
    assert empty((LEAST,), torch.uint8).fill_(1).sum() == LEAST
