import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core import ALLOCATIONS, ERK, ByMass, Density, ERKPlus, Global, Ratios, Uniform, UniformPlus, noise, parse_allocation
from fewer.errors import BudgetError

SHAPES = {"a": (4, 2), "b": (10, 10), "c": (20, 5)}  # (sum of sides / size): 0.75, 0.2, 0.25
quick = settings(deadline=None, max_examples=100)
some_shapes = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6).map(
    lambda sides: {f"t{i}": shape for i, shape in enumerate(sides)}
)
shares = st.floats(0, 1)


def total(shapes, densities):
    return sum(densities[name] * math.prod(shape) for name, shape in shapes.items())


def scores_of(shapes, seed=0):
    return {name: noise(shape, seed, name) for name, shape in shapes.items()}


@quick
@given(shapes=some_shapes, density=shares, seed=st.integers(0, 9))
@pytest.mark.parametrize("allocation", [Uniform(), ERK(), ERK(0.5), ByMass()])
def test_every_allocation_meets_its_total_and_no_density_leaves_its_range(allocation, shapes, density, seed):
    densities = allocation.densities(shapes, density, scores_of(shapes, seed))
    assert total(shapes, densities) == pytest.approx(density * total(shapes, dict.fromkeys(shapes, 1)), rel=1e-6, abs=1e-6)
    for share in densities.values():
        Density(share)


@quick
@given(shapes=some_shapes, density=shares, relative=st.lists(st.floats(0.01, 10), min_size=6, max_size=6))
def test_ratios_meet_the_total_and_keep_their_proportions_below_the_cap(shapes, density, relative):
    ratios = dict(zip(shapes, relative, strict=False))
    densities = Ratios(ratios).densities(shapes, density)
    assert total(shapes, densities) == pytest.approx(density * total(shapes, dict.fromkeys(shapes, 1)), rel=1e-6, abs=1e-6)
    scales = [densities[n] / ratios[n] for n in shapes if densities[n] < 1]
    assert scales == pytest.approx([scales[0]] * len(scales) if scales else [])
    for name in shapes:
        if densities[name] == 1 and scales:
            assert ratios[name] * scales[0] >= 1 - 1e-6


@quick
@given(shapes=some_shapes, density=shares)
@pytest.mark.parametrize("allocation", [UniformPlus(), ERKPlus(), ERKPlus(last=0.1)])
def test_allocations_with_fixed_ends_meet_the_total_or_say_that_they_cannot(allocation, shapes, density):
    try:
        densities = allocation.densities(shapes, density)
    except BudgetError as error:
        assert "cannot be met" in str(error)
    else:
        assert total(shapes, densities) == pytest.approx(density * total(shapes, dict.fromkeys(shapes, 1)), rel=1e-6, abs=1e-5)
        for share in densities.values():
            Density(share)


@quick
@given(shapes=some_shapes, density=shares)
def test_a_global_allocation_counts_to_the_total_exactly(shapes, density):
    densities = Global().densities(shapes, density, scores_of(shapes))
    kept = sum(Density(densities[name]).of(math.prod(shape)) for name, shape in shapes.items())
    assert kept == Density(density).of(sum(map(math.prod, shapes.values())))


def test_erk_without_a_cap_is_what_a_hand_computes():
    # 0.3 * 208 = 62.4 weights over 0.75 * 8 + 0.2 * 100 + 0.25 * 100 = 51
    assert ERK().densities(SHAPES, 0.3) == pytest.approx({"a": 0.75 * 62.4 / 51, "b": 0.2 * 62.4 / 51, "c": 0.25 * 62.4 / 51})


def test_erk_with_a_full_tensor_shares_out_what_it_leaves():
    # 0.4 * 208 = 83.2; a would get 0.75 * 83.2 / 51 = 1.22, so it is full and 75.2 are left over 20 + 25 = 45
    assert ERK().densities(SHAPES, 0.4) == pytest.approx({"a": 1.0, "b": 0.2 * 75.2 / 45, "c": 0.25 * 75.2 / 45})


@quick
@given(shapes=some_shapes, density=st.floats(0.01, 0.99))
def test_erk_is_the_one_scale_that_meets_the_total(shapes, density):
    raw = {n: sum(s) / math.prod(s) for n, s in shapes.items()}
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        kept = sum(min(1, middle * raw[n]) * math.prod(s) for n, s in shapes.items())
        low, high = (middle, high) if kept < density * sum(map(math.prod, shapes.values())) else (low, middle)
    assert ERK().densities(shapes, density) == pytest.approx({n: min(1, high * raw[n]) for n in shapes}, rel=1e-6)


def test_erk_of_a_convolution_counts_its_kernel_sides():
    shapes = {"conv": (8, 4, 3, 3), "fc": (40, 30)}  # raw: 18 / 288 and 70 / 1200
    assert ERK().densities(shapes, 0.1) == pytest.approx({"conv": 18 / 288 * 148.8 / 88, "fc": 70 / 1200 * 148.8 / 88})


def test_uniform_plus_keeps_the_first_whole_and_the_last_at_least_a_fifth():
    # 0.15 * 208 = 31.2; first 8, last 20, so 3.2 are left for b
    assert UniformPlus().densities(SHAPES, 0.15) == pytest.approx({"a": 1.0, "b": 0.032, "c": 0.2})
    # above a fifth the last is like the rest: (62.4 - 8) / 200
    assert UniformPlus().densities(SHAPES, 0.3) == pytest.approx({"a": 1.0, "b": 0.272, "c": 0.272})


def test_uniform_plus_says_when_the_first_alone_is_too_much():
    with pytest.raises(BudgetError, match=r"density 0.05 cannot be met when a has density 1.*Use erk or uniform"):
        UniformPlus().densities({"a": (10, 10), "b": (10, 10)}, 0.05)


def test_erk_plus_keeps_the_last_whole():
    # 0.6 * 208 = 124.8, less 100 of c = 24.8 over 6 + 20
    assert ERKPlus().densities(SHAPES, 0.6) == pytest.approx({"a": 0.75 * 24.8 / 26, "b": 0.2 * 24.8 / 26, "c": 1.0})


def test_a_global_allocation_keeps_more_where_the_scores_are_larger():
    scores = {"small": torch.tensor([1.0, 2, 3, 4]), "large": torch.tensor([5.0, 6, 7, 8])}
    assert Global().densities({"small": (4,), "large": (4,)}, 0.75, scores) == {"small": 0.5, "large": 1.0}


def test_a_global_allocation_can_read_other_scores_than_those_that_choose():
    ratio = Global(scores_from={"a": torch.tensor([0.0, 0]), "b": torch.tensor([1.0, 1])})
    assert ratio.densities({"a": (2,), "b": (2,)}, 0.5, {"a": torch.ones(2), "b": torch.zeros(2)}) == {"a": 0.0, "b": 1.0}


def test_an_allocation_by_mass_follows_the_mean_score():
    scores = {"a": torch.full((10,), 1.0), "b": torch.full((10,), 3.0)}
    assert ByMass().densities({"a": (10,), "b": (10,)}, 0.2, scores) == pytest.approx({"a": 0.1, "b": 0.3})


@pytest.mark.parametrize("allocation", [Global(), ByMass()])
def test_an_allocation_that_reads_scores_asks_for_them(allocation):
    with pytest.raises(BudgetError, match="needs scores"):
        allocation.densities(SHAPES, 0.5)


def test_ratios_must_name_every_tensor():
    with pytest.raises(BudgetError, match=r"missing: \['b'\]"):
        Ratios({"a": 1.0, "c": 1.0}).densities(SHAPES, 0.5)


def test_ratios_of_zero_leave_room_that_cannot_be_filled():
    with pytest.raises(BudgetError, match="are full"):
        Ratios({"a": 1.0, "b": 0.0, "c": 0.0}).densities(SHAPES, 0.5)


@pytest.mark.parametrize("allocation", list(ALLOCATIONS.values()))
@pytest.mark.parametrize("density", [-0.1, 1.5, math.nan])
def test_every_allocation_refuses_a_density_out_of_range(allocation, density):
    with pytest.raises(BudgetError, match="must lie in"):
        allocation.densities(SHAPES, density, scores_of(SHAPES))


def test_an_unknown_allocation_lists_the_known():
    assert parse_allocation("erk") == ERK()
    with pytest.raises(BudgetError, match=r'"ERK" is unknown; allowed: uniform, uniform\+, erk, erk\+, global, mass'):
        parse_allocation("ERK")
