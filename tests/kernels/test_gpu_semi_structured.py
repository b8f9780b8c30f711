"""torch's 2:4 form: on a GPU as it is; elsewhere all but the product of NVIDIA's library, in whose place stands a dense one."""

import pytest
import torch

from fewer.core import select
from fewer.core.budget import Density
from fewer.errors import KernelError
from fewer.kernels.forms import SemiStructured, pack

on_a_gpu = pytest.mark.skipif(
    not torch.cuda.is_available()
    or torch.cuda.get_device_capability() < (8, 0)
    or not torch.backends.cusparselt.is_available(),
    reason="no GPU with sparse tensor cores, or a torch without cuSPARSELt",
)
SHAPES = [(16, 16), (64, 96), (30, 44), (1, 4), (100, 1000)]


def half(shape, dtype=torch.float16, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    mask = select(torch.rand(shape, generator=generator), "2:4", Density(0.5)).mask
    return (torch.randn(shape, generator=generator) * mask).to(device, dtype)


@pytest.fixture
def in_its_place(monkeypatch):
    """A machine that says it could, and a product that is dense."""
    monkeypatch.setattr(SemiStructured, "devices", ("cpu",))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(torch.backends.cusparselt, "is_available", lambda: True)
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", lambda matrix: matrix)


@on_a_gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_on_a_gpu_products_equal_the_dense_ones(dtype, shape):
    matrix = half(shape, dtype, "cuda")
    packed = pack(matrix, "semi-structured")
    assert torch.equal(packed.unpack(), matrix)
    for batch in ((), (1,), (3,), (2, 20)):
        x = torch.randn(*batch, shape[1], device="cuda", dtype=dtype)
        exact = x.double() @ matrix.double().t()
        assert torch.allclose(packed.multiply(x).double(), exact, atol=2e-2 * shape[1] ** 0.5, rtol=2e-2)


@on_a_gpu
def test_on_a_gpu_it_is_as_small_as_it_says():
    matrix = half((1024, 1024), device="cuda")
    assert pack(matrix, "semi-structured").nbytes <= 0.57 * matrix.nbytes


@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_is_padded_to_what_the_library_takes(in_its_place, shape):
    matrix = half(shape)
    packed = pack(matrix, "semi-structured")
    assert all(length % 16 == 0 for length in packed.values.shape)
    assert torch.equal(packed.unpack(), matrix)
    for batch in ((), (1,), (2, 3)):
        x = torch.randn(*batch, shape[1])
        y = packed.multiply(x)
        assert y.dtype is torch.float32
        assert y.shape == (*batch, shape[0])
        assert torch.allclose(y, x @ matrix.float().t(), atol=0.1)


def test_what_does_not_fit_is_refused(in_its_place, monkeypatch):
    with pytest.raises(KernelError, match="2:4 keeps at most 2 of every 4 inputs; 1 groups have more"):
        pack(torch.tensor([[1, 1, 1, 0]], dtype=torch.float16), "semi-structured")
    with pytest.raises(KernelError, match=r"of float16 or bfloat16 on cpu, not \(4, 4\) of torch.float32"):
        pack(torch.zeros(4, 4), "semi-structured")
    monkeypatch.setattr(torch.backends.cusparselt, "is_available", lambda: False)
    with pytest.raises(KernelError, match="no cuSPARSELt"):
        pack(half((16, 16)), "semi-structured")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "An older GPU")
    with pytest.raises(KernelError, match="An older GPU has no sparse tensor cores"):
        pack(half((16, 16)), "semi-structured")


def test_on_the_cpu_it_says_what_it_holds():
    with pytest.raises(KernelError, match=r'"semi-structured" holds matrices of float16 or bfloat16 on cuda, not .* on cpu'):
        pack(half((16, 16)), "semi-structured")
