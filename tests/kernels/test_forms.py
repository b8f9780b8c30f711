"""Every compact form keeps the matrix bit for bit, and every kernel multiplies as its reference does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core import select
from fewer.core.budget import Density
from fewer.errors import KernelError
from fewer.kernels.dispatch import cpu_path, has_avx512
from fewer.kernels.forms import FORMS, pack

SHAPES = [(1, 1), (5, 7), (16, 16), (33, 40), (64, 576), (100, 1000), (17, 4000)]
DTYPES = [torch.float32, torch.bfloat16]
CPU_FORMS = [name for name, form in FORMS.items() if "cpu" in form.devices]


@pytest.fixture(
    params=["reference", "portable", pytest.param("avx512", marks=pytest.mark.skipif(not has_avx512(), reason="no AVX-512"))]
)
def path(request, monkeypatch):
    monkeypatch.setenv("FEWER_KERNELS", request.param)
    cpu_path.cache_clear()
    yield request.param
    cpu_path.cache_clear()


def sparse(form, shape, density, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(shape, generator=generator) * (torch.rand(shape, generator=generator) < density)
    if form == "2:4":
        wide = torch.nn.functional.pad(torch.rand(shape, generator=generator), (0, -shape[1] % 4))
        matrix = matrix * select(wide, "2:4", Density(0.5)).mask[:, : shape[1]]
    return matrix.to(dtype)


@pytest.mark.parametrize("form", CPU_FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 600)),
    density=st.sampled_from([0.0, 0.003, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_what_is_packed_unpacks_bit_for_bit(form, dtype, shape, density, seed):
    matrix = sparse(form, shape, density, dtype, seed)
    assert torch.equal(pack(matrix, form).unpack(), matrix)


@pytest.mark.parametrize("form", CPU_FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.0, 0.05, 0.5, 1.0])
def test_products_equal_the_dense_ones(path, form, dtype, shape, density):
    matrix = sparse(form, shape, density, dtype)
    packed = pack(matrix, form)
    for batch in ((), (1,), (3,), (2, 2)):
        x = torch.randn(*batch, shape[1], generator=torch.Generator().manual_seed(1))
        exact = x.double() @ matrix.double().t()
        assert packed.multiply(x).shape == exact.shape
        assert torch.allclose(packed.multiply(x).double(), exact, atol=1e-5 * shape[1] ** 0.5, rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_share_the_rows_and_none_is_done_twice(path, threads):
    before = torch.get_num_threads()
    matrix = sparse("bitmask", (1001, 333), 0.3, torch.float32)
    packed, x = pack(matrix, "bitmask"), torch.randn(333)
    try:
        torch.set_num_threads(threads)
        for _ in range(20):
            assert torch.allclose(packed.multiply(x), matrix @ x, atol=1e-4)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("form", CPU_FORMS)
def test_inputs_may_be_strided_or_bfloat16(path, form):
    matrix = sparse(form, (48, 96), 0.4, torch.bfloat16)
    packed = pack(matrix, form)
    strided = torch.randn(96, 4).t()
    assert torch.allclose(packed.multiply(strided), strided @ matrix.float().t(), atol=1e-4)
    half = strided.bfloat16()
    assert packed.multiply(half).dtype == torch.bfloat16
    assert torch.allclose(packed.multiply(half).float(), half.float() @ matrix.float().t(), atol=0.1)


def test_a_column_step_beyond_a_byte_takes_fillers():
    matrix = torch.zeros(2, 2000)
    matrix[0, [0, 255, 511, 1999]] = 1.5
    matrix[1, 256] = -2.0
    packed = pack(matrix, "sliced")
    assert torch.equal(packed.unpack(), matrix)
    x = torch.arange(2000.0)
    assert torch.equal(packed.multiply(x), matrix @ x)


def test_forms_are_as_small_as_they_say():
    matrix = torch.randn(1024, 1024)
    dense = matrix.nbytes
    half = matrix * select(torch.rand(1024, 1024), "2:4", Density(0.5)).mask
    assert pack(half, "2:4").nbytes == dense * 34 / 64
    tenth = matrix * select(torch.rand(1024, 1024), "row", Density(0.1)).mask
    assert pack(tenth, "bitmask").nbytes < 0.14 * dense
    assert pack(tenth, "sliced").nbytes < 0.13 * dense
    blocks = matrix * (torch.rand(64, 64) < 0.25).repeat_interleave(16, 0).repeat_interleave(16, 1)
    assert pack(blocks, "strips").nbytes < 1.04 * int(blocks.count_nonzero()) * 4


def test_what_does_not_fit_is_refused():
    with pytest.raises(KernelError, match=r"2:4 keeps at most 2 .* 1 groups have more"):
        pack(torch.tensor([[1.0, 1, 1, 0, 1, 0, 0, 0]]), "2:4")
    with pytest.raises(KernelError, match="70000 are too many"):
        pack(torch.zeros(1, 70000), "strips")
    with pytest.raises(KernelError, match="float64"):
        pack(torch.zeros(2, 2, dtype=torch.float64), "bitmask")
    with pytest.raises(KernelError, match="allowed: dense, 2:4"):
        pack(torch.zeros(2, 2), "csr")


def test_zeros_inside_a_kept_pair_stay_exact():
    matrix = torch.tensor([[0.0, 0, 0, 3], [0, 0, 0, 0], [1, 0, 2, 0]])
    assert torch.equal(pack(matrix, "2:4").unpack(), matrix)
