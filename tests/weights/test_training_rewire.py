import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core import Cubic, noise, stream
from fewer.errors import ScheduleError, ScoreError, SelectionError
from fewer.weights.training.moment import Moment
from fewer.weights.training.rewire import Rewire, rewired
from fewer.weights.training.rigl import RigL
from fewer.weights.training.shrink import Shrink
from fewer.weights.training.updates import Updates


@settings(deadline=None)
@given(side=st.integers(1, 8), seed=st.integers(0, 999), density=st.floats(0, 1), share=st.floats(0, 1))
def test_as_many_are_grown_as_dropped_and_by_the_right_scores(side, seed, density, share):
    mask = noise((side, side), seed, "mask") < density
    weight = (noise((side, side), seed, "weight") - 0.5) * mask
    growth = noise((side, side), seed, "growth") - 0.5
    count = int(share * int(mask.sum()))
    after, new = rewired(weight, mask, growth, count)
    assert after.sum() == mask.sum()
    assert new.sum() <= count and torch.equal(new, after & ~mask)
    gone, stayed = mask & ~after, mask & after
    if gone.any():  # what is gone is among the weakest, and nothing that grew in its place scores less
        weaker = (weight[mask].abs() < weight[gone].abs().max()).sum()
        assert weaker < count
        assert growth[new].min() >= growth[gone].max()
    free = ~mask & ~after
    if new.any() and free.any():
        assert growth[new].min() >= growth[free].max()
    assert stayed.sum() >= mask.sum() - count


def test_a_dropped_position_that_grows_again_is_no_new_one():
    weight = torch.tensor([[0.1, 2.0, 0.0]])
    after, new = rewired(weight, weight != 0, torch.tensor([[9.0, 1.0, 5.0]]), 1)
    assert after.tolist() == [[True, True, False]]
    assert not new.any()


def test_growth_scores_that_cannot_be_ranked_are_an_error():
    with pytest.raises(ScoreError, match="growth scores"):
        rewired(torch.ones(1, 2), torch.tensor([[True, False]]), torch.tensor([[0.0, float("nan")]]), 1)


def test_more_than_there_is_cannot_move():
    with pytest.raises(SelectionError, match="3 of 2"):
        rewired(torch.ones(1, 3), torch.tensor([[True, True, False]]), torch.ones(1, 3), 3)


def test_the_moving_share_falls_by_a_cosine_and_ends_at_three_quarters():
    updates = Updates(fraction=0.3, every=10, until=0.75)
    assert updates.share(150, 400) == pytest.approx(0.15)  # half way to step 300
    assert [updates.share(step, 400) for step in (0, 5, 151, 300, 310)] == [0, 0, 0, 0, 0]
    shares = [updates.share(step, 400) for step in range(10, 300, 10)]
    assert 0.29 < shares[0] < 0.3
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == 29


def test_updates_need_a_whole_number_of_steps_between_them():
    with pytest.raises(ScheduleError):
        Updates(every=0)


def test_rewiring_moves_the_share_that_is_due_in_each_layer():
    mask = torch.arange(40).view(4, 10) < 20
    layers = {"a": Moment("a", mask.float() * 0.5, torch.ones(4, 10), 1)}
    rule = Rewire(lambda moment: noise((4, 10), 0), Updates(0.5, every=1, until=1.0))
    renewal = rule.renew(layers, {"a": mask}, 1, 1000)
    assert int(renewal.masks["a"].sum()) == 20
    # Of int(0.4999988 * 20) = 9 positions by noise, those that were free before are new.
    assert 0 < int(renewal.fresh["a"].sum()) == int((renewal.masks["a"] & ~mask).sum()) <= 9


def test_shrinking_meets_the_density_of_the_schedule_and_brings_nothing_back():
    weight = torch.arange(1.0, 21.0).view(2, 10)
    masks = {"a": torch.ones(2, 10, dtype=torch.bool), "b": torch.ones(2, 10, dtype=torch.bool)}
    rule = Shrink(lambda moment: moment.weight.abs(), Cubic(1.0, 0.25, 0, 10, 1))
    for step, kept in ((5, 14), (10, 10)):  # 1 - 0.75 * (1 - 0.5^3) = 0.34375 of 40; 0.25 of 40
        layers = {"a": Moment("a", weight * masks["a"]), "b": Moment("b", 0.1 * weight * masks["b"])}
        after = rule.renew(layers, masks, step, 10).masks
        assert sum(int(m.sum()) for m in after.values()) == kept
        assert not any((after[n] & ~masks[n]).any() for n in masks)
        masks = after
    assert int(masks["a"].sum()) == 10  # the largest of both layers together are all in a


def test_a_layer_without_a_free_position_keeps_its_weights():
    layers = {name: Moment(name, torch.ones(4, 10), torch.ones(4, 10), 1) for name in ("full", "sparse")}
    masks = {"full": torch.ones(4, 10, dtype=torch.bool), "sparse": torch.arange(40).view(4, 10) < 20}
    renewal = Rewire(lambda moment: noise((4, 10), 0), Updates(0.5, every=1, until=1.0)).renew(layers, masks, 1, 1000)
    assert renewal.masks["full"].all() and not renewal.fresh["full"].any()


def test_rigl_chooses_as_the_algorithm_says_word_by_word():
    """Given |w| and |g| on one layer, beside a loop over sorted positions."""
    weight, gradient = torch.rand(6, 7, generator=stream(1)) - 0.5, torch.rand(6, 7, generator=stream(2)) - 0.5
    mask = torch.rand(6, 7, generator=stream(3)) < 0.4
    updates, step, steps = Updates(), 100, 1000
    renewal = RigL(updates=updates).rule().renew({"a": Moment("a", weight * mask, gradient, step)}, {"a": mask}, step, steps)

    fraction = 0.3 * 0.5 * (1 + math.cos(math.pi * step / (0.75 * steps)))
    active = [i for i in range(42) if mask.flatten()[i]]
    dropped = sorted(active, key=lambda i: abs(float(weight.flatten()[i])))[: int(fraction * len(active))]
    kept = set(active) - set(dropped)
    grown = sorted(set(range(42)) - kept, key=lambda i: -abs(float(gradient.flatten()[i])))[: len(dropped)]
    assert set(renewal.masks["a"].flatten().nonzero().flatten().tolist()) == kept | set(grown)
    assert set(renewal.fresh["a"].flatten().nonzero().flatten().tolist()) == set(grown) - set(active)
