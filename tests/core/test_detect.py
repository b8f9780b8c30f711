import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core import NM, Block, Count, Slices, noise, select
from fewer.core.detect import detect
from fewer.errors import PatternError


@settings(deadline=None)
@given(rows=st.integers(1, 9), groups=st.integers(1, 9), seed=st.integers(0, 1000))
def test_a_mask_made_2_4_is_detected_as_such(rows, groups, seed):
    assert detect(select(noise((rows, 4 * groups), seed), NM(2, 4)).mask) == "2:4"


@settings(deadline=None)
@given(rows=st.integers(1, 9), groups=st.integers(1, 9), seed=st.integers(0, 1000))
def test_a_mask_made_1_4_is_detected_as_such(rows, groups, seed):
    assert detect(select(noise((rows, 4 * groups), seed), NM(1, 4)).mask) == "1:4"


def test_a_mask_that_is_4_8_and_not_2_4_is_detected_as_4_8():
    mask = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0, 1, 0]]).bool()
    assert detect(mask) == "4:8"


def test_whole_rows_are_neurons():
    mask = select(noise((12, 8), 0), Slices(0), Count(5)).mask
    assert detect(mask) == "neuron"


def test_a_matrix_with_nothing_left_has_lost_all_of_its_neurons():
    assert detect(torch.zeros(4, 8, dtype=torch.bool)) == "neuron"


@pytest.mark.parametrize("side", [2, 4, 8, 16, 32])
def test_tiles_are_found_at_their_largest_size(side):
    mask = torch.zeros(4 * side, 4 * side, dtype=torch.bool)
    for row, column in [(0, 0), (0, 1), (0, 3), (1, 0), (3, 3)]:
        mask[row * side : (row + 1) * side, column * side : (column + 1) * side] = True
    assert detect(mask) == f"block:{side}x{side}"


def test_chosen_tiles_are_detected_as_chosen():
    assert detect(select(noise((16, 16), 0), Block(4, 4), Count(12)).mask) == "block:4x4"


def test_half_of_all_positions_at_random_is_unstructured():
    assert detect(noise((64, 64), 0) < 0.5) == "unstructured"


def test_groups_that_do_not_divide_the_width_are_not_looked_for():
    assert detect(torch.tensor([[1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]).bool()) == "unstructured"


def test_a_mask_that_drops_nothing_is_dense():
    assert detect(torch.ones(8, 8, dtype=torch.bool)) == "dense"


@pytest.mark.parametrize("wrong", [torch.ones(8, 8), torch.ones(8).bool(), torch.ones(0, 4).bool()])
def test_only_a_matrix_of_bools_has_a_pattern(wrong):
    with pytest.raises(PatternError, match="matrix of bools"):
        detect(wrong)
