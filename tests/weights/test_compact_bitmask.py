import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer.errors import ModelError
from fewer.weights.compact.bitmask import pack, pack_reference, unpack, unpack_reference

TYPES = (torch.float32, torch.float16, torch.bfloat16)


@st.composite
def masked(draw):
    """(matrix, kept): zeros, minus zeros and kept zeros among them."""
    rows, width = draw(st.integers(1, 9)), draw(st.integers(1, 35))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    kept = torch.rand(rows, width, generator=generator) < draw(st.sampled_from((0.0, 0.1, 0.5, 0.9, 1.0)))
    matrix = torch.randn(rows, width, generator=generator).to(draw(st.sampled_from(TYPES)))
    matrix[torch.rand(rows, width, generator=generator) < 0.2] = draw(st.sampled_from((0.0, -0.0)))
    return torch.where(kept, matrix, 0), kept


def same(a, b):
    """Signs too: equality does not tell minus zero from zero."""
    return a.dtype == b.dtype and torch.equal(a, b) and torch.equal(a.signbit(), b.signbit())


@given(masked())
def test_unpacking_gives_every_bit_back(given):
    matrix, kept = given
    assert same(unpack(*pack(matrix, kept), matrix.shape[1]), matrix)


@given(masked())
def test_packing_agrees_with_the_reference(given):
    matrix, kept = given
    values, bits = pack(matrix, kept)
    slow = pack_reference(matrix, kept)
    assert same(values, slow.values) and torch.equal(bits, slow.bits)
    assert same(unpack_reference(values, bits, matrix.shape[1]), matrix)


@given(masked())
def test_as_many_values_are_stored_as_are_kept(given):
    matrix, kept = given
    values, bits = pack(matrix, kept)
    assert len(values) == kept.sum() and bits.shape == (len(matrix), (matrix.shape[1] + 7) // 8)


def test_a_transposed_matrix_is_packed_by_its_rows():
    matrix = torch.tensor([[1.0, 0.0], [2.0, 3.0]]).t()
    assert pack(matrix, matrix != 0).values.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "bits", "width", "why"),
    [
        (torch.ones(2), torch.tensor([[3], [1]], dtype=torch.uint8), 5, "names 3 weights, and 2 values"),
        (torch.ones(1), torch.tensor([[32]], dtype=torch.uint8), 5, "beyond the last input"),
        (torch.ones(1), torch.tensor([[1]], dtype=torch.uint8), 9, "takes 2 bytes a row"),
        (torch.ones(1), torch.tensor([[1]]), 5, "takes 1 bytes a row"),
        (torch.ones(1), torch.tensor([1], dtype=torch.uint8), 5, "takes 1 bytes a row"),
    ],
)
def test_bits_and_values_that_disagree_are_refused(values, bits, width, why):
    with pytest.raises(ModelError, match=why):
        unpack(values, bits, width)
