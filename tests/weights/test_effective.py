from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.scores import noise
from fewer.errors import SelectionError
from fewer.weights.effective import effective


def test_a_case_worked_out_by_hand():
    # Unit 0 is alive both ways; unit 1 hears no input; unit 2 is heard by no output.
    first = torch.tensor([[1, 0], [0, 0], [1, 1]]).bool()
    second = torch.tensor([[1, 1, 0]]).bool()
    found = effective([first, second])
    assert (found.size, found.active, found.effective, found.constants) == (9, 5, 2, 0)
    assert found.nominal_density == 5 / 9
    assert found.effective_density == 2 / 9


def test_a_unit_that_only_its_bias_drives_is_counted_apart():
    first = torch.tensor([[1, 0], [0, 0], [0, 0]]).bool()
    second = torch.tensor([[1, 1, 0]]).bool()
    bias = torch.tensor([1.0, 1.0, 1.0])
    found = effective([first, second], [bias, None])
    assert found.effective == 2  # the constant of unit 1 is no signal
    assert found.constants == 1  # and unit 2 is heard by no one


def test_constants_travel_on_through_units_without_a_bias():
    silent = torch.zeros(1, 1, dtype=torch.bool)
    on = torch.ones(1, 1, dtype=torch.bool)
    found = effective([silent, on, on], [torch.ones(1), torch.zeros(1), None])
    assert (found.effective, found.constants) == (0, 2)


@settings(deadline=None)
@given(sides=st.lists(st.integers(1, 4), min_size=2, max_size=4), seed=st.integers(0, 999), density=st.floats(0, 1))
def test_effective_weights_are_those_on_some_path_found_by_trying_all(sides, seed, density):
    masks = [noise((b, a), seed, i) < density for i, (a, b) in enumerate(pairwise(sides))]
    on_path = set()
    for path in product(*map(range, sides)):
        steps = [(layer, path[layer + 1], path[layer]) for layer in range(len(masks))]
        if all(masks[layer][out, into] for layer, out, into in steps):
            on_path.update(steps)
    found = effective(masks)
    assert found.effective == len(on_path) <= found.active


def test_masks_that_do_not_meet_are_no_chain():
    with pytest.raises(SelectionError, match="no chain"):
        effective([torch.ones(3, 2).bool(), torch.ones(1, 2).bool()])
