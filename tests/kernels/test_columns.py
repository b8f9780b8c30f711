"""Products that skip small inputs equal the plain ones, whatever the shape, the type and the number of threads."""

import copy

import pytest
import torch

from fewer.errors import KernelError
from fewer.kernels.attention_reference import columns
from fewer.kernels.dispatch import cpu_path, has_avx512
from fewer.kernels.forms.columns import ColumnProduct, Columns

SHAPES = [(1, 1), (5, 7), (16, 16), (33, 40), (576, 64), (100, 1000), (65, 17), (192, 576), (960, 33)]
"""(out, in)."""


@pytest.fixture(
    params=["reference", "portable", pytest.param("avx512", marks=pytest.mark.skipif(not has_avx512(), reason="no AVX-512"))]
)
def path(request, monkeypatch):
    monkeypatch.setenv("FEWER_KERNELS", request.param)
    cpu_path.cache_clear()
    yield request.param
    cpu_path.cache_clear()


def part(shape, rank=0, share=0.5, dtype=torch.float32, seed=0):
    """Random weights, thresholds below which about `share` of normal inputs lie, and factors."""
    generator = torch.Generator().manual_seed(seed)
    out, width = shape
    thresholds = (
        torch.rand(width, generator=generator) * 2 * torch.distributions.Normal(0, 1).icdf(torch.tensor((1 + share) / 2))
    )
    factors = (torch.randn(width, rank, generator=generator), torch.randn(rank, out, generator=generator)) if rank else ()
    return Columns(torch.randn(shape, generator=generator).to(dtype), thresholds, *(f.to(dtype) for f in factors))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [0, 1, 19])
def test_products_equal_the_ones_in_double(path, shape, rank, dtype):
    columns_ = part(shape, rank, dtype=dtype)
    down, up = (None if f is None else f.double() for f in columns_.factors())
    for batch in ((), (1,), (3,), (2, 2)):
        x = torch.randn(*batch, shape[1], generator=torch.Generator().manual_seed(1))
        exact = columns(
            x.double().reshape(-1, shape[1]), columns_.weight.t().double(), columns_.thresholds[: shape[1]].double(), down, up
        ).reshape(*batch, shape[0])
        (made,) = ColumnProduct([columns_]).multiply(x)
        assert made.shape == exact.shape and made.dtype == torch.float32
        assert torch.allclose(made.double(), exact, atol=2e-5 * max(1, float(exact.abs().max())))


def test_by_hand(path):
    weight = torch.tensor([[1.0, 10, 100], [2, 20, 200]])
    (made,) = ColumnProduct([Columns(weight, torch.tensor([0.5, 0.5, 3.0]))]).multiply(torch.tensor([[1.0, -0.5, 3.0]]))
    assert made.tolist() == [[1.0, 2.0]]  # |-.5| and 3 are at their thresholds, not above
    low = Columns(weight, torch.tensor([0.5, 0.5, 3.0]), torch.tensor([[5.0], [2], [1]]), torch.tensor([[1.0, -1]]))
    (made,) = ColumnProduct([low]).multiply(torch.tensor([[1.0, -0.5, 3.0]]))
    assert made.tolist() == [[3.0, 0.0]]  # 1 and 2, and (-.5 * 2 + 3 * 1) * (1, -1); the large input's 5 is not read


@pytest.mark.parametrize("threshold", [-1.0, torch.inf])
def test_all_or_none_of_the_inputs(path, threshold):
    weight, x = torch.randn(70, 50), torch.randn(2, 50)
    x[0, 3] = 0
    (made,) = ColumnProduct([Columns(weight, torch.full((50,), threshold))]).multiply(x)
    assert torch.allclose(made, x @ weight.t() * (threshold < 0), atol=1e-4)


def test_a_nan_input_is_seen_in_the_result(path):
    x = torch.zeros(1, 20)
    x[0, 7] = torch.nan
    (made,) = ColumnProduct([Columns(torch.ones(3, 20), torch.ones(20))]).multiply(x)
    assert bool(made.isnan().all())


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_several_matrices_in_one_go_on_any_number_of_threads(path, threads):
    parts = [part((130, 333), seed=1), part((5, 333), 7, seed=2), part((600, 333), 20, 0.9, seed=3)]
    product, x = ColumnProduct(parts), torch.randn(2, 333)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for _ in range(10):
            for made, one in zip(product.multiply(x), parts, strict=True):
                assert torch.allclose(made, one.reference(x), atol=1e-3)
    finally:
        torch.set_num_threads(before)


def test_inputs_may_be_strided_or_bfloat16(path):
    columns_ = part((48, 96), 5, dtype=torch.bfloat16)
    strided = torch.randn(96, 4).t()
    (made,) = ColumnProduct([columns_]).multiply(strided)
    assert torch.allclose(made, columns_.reference(strided), atol=1e-3)
    half = strided.bfloat16()
    (made,) = ColumnProduct([columns_]).multiply(half)
    assert made.dtype == torch.bfloat16
    assert torch.allclose(made.float(), columns_.reference(half.float()), rtol=0.02, atol=0.3)


def test_the_weights_are_there_once_and_a_copy_has_its_own(path):
    weight, x = torch.randn(32, 48), torch.randn(1, 48)
    product = ColumnProduct([Columns(weight, torch.full((48,), -1.0))])
    (one,) = product.parts
    assert torch.equal(one.weight, weight) and one.weight.data_ptr() == one.values.data_ptr()
    (before,) = product.multiply(x)
    other = copy.deepcopy(product)
    other.parts[0].values.zero_()
    assert not other.multiply(x)[0].any()
    assert torch.equal(product.multiply(x)[0], before)


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(KernelError, match="float64"):
        Columns(torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2))
    with pytest.raises(KernelError, match="need 3 thresholds"):
        Columns(torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(KernelError, match="r x 2"):
        Columns(torch.zeros(2, 3), torch.zeros(3), torch.zeros(2, 1), torch.zeros(1, 2))
    with pytest.raises(KernelError, match="same inputs"):
        ColumnProduct([part((2, 3)), part((2, 4))])
