import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewer.weights.iso_flop.sizes import branch_count, doped_rank, inner_width, widened

SIDES = st.integers(1, 4096)
SPARSITY = st.floats(0, 0.99)


@pytest.mark.parametrize(("sparsity", "branches"), [(0, 1), (0.5, 2), (0.75, 4), (0.9, 10), (0.95, 20), (0.99, 100)])
def test_branches_are_whole_numbers_that_floating_point_does_not_bend(sparsity, branches):
    assert branch_count(sparsity) == branches


@pytest.mark.parametrize(
    ("width", "sparsity", "wide"), [(8, 0.5, 11), (8, 0.75, 16), (8, 0.9, 25), (16, 0.75, 32), (64, 0, 64)]
)
def test_widths_grow_by_the_root(width, sparsity, wide):
    assert widened(width, sparsity) == wide


@given(outputs=SIDES, inputs=SIDES, sparsity=SPARSITY)
def test_a_doped_layer_has_room_for_its_low_rank_part_at_the_density_of_the_rest(outputs, inputs, sparsity):
    rank = doped_rank(outputs, inputs, sparsity)
    dense, active = rank * (outputs + inputs), outputs * inputs - rank * (outputs + inputs)
    assert dense <= sparsity * outputs * inputs + 1e-6
    assert active >= (1 - sparsity) * outputs * inputs - 1e-6
    assert (rank + 1) * (outputs + inputs) > sparsity * outputs * inputs - 1e-6


@given(outputs=SIDES, inputs=SIDES, sparsity=SPARSITY, sparse_v=st.booleans())
def test_factors_are_as_wide_as_density_pays_for_and_not_one_unit_wider(outputs, inputs, sparsity, sparse_v):
    inner = inner_width(outputs, inputs, sparsity, sparse_v)

    def cost(width):
        return width * ((1 - sparsity) * inputs + (1 - sparsity if sparse_v else 1) * outputs)

    assert cost(inner) >= outputs * inputs * (1 - 1e-9)
    assert cost(inner - 1) <= outputs * inputs * (1 + 1e-9)


def test_the_sizes_of_the_authors_convolutions():
    """3 x 3, 64 -> 128 channels at sparsity 0.75, by the formulas of their code."""
    inputs, outputs = 9 * 64, 128
    assert inner_width(outputs, inputs, 0.75) == math.ceil(9 * 64 * 128 / (0.25 * (9 * 64 + 128)))
    assert inner_width(outputs, inputs, 0.75, sparse_v=False) == math.ceil(9 * 64 * 128 / (0.25 * 9 * 64 + 128))
    assert doped_rank(outputs, inputs, 0.75) == math.floor(0.75 * 9 * 64 * 128 / (9 * 64 + 128))
