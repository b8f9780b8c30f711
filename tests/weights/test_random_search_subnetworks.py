from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fewer.core.detect import detect
from fewer.errors import BudgetError, ModelError, PatternError
from fewer.weights.search.gradient import GradientNorm
from fewer.weights.search.loss import Loss
from fewer.weights.search.nodes import NodeSampler
from fewer.weights.search.search import random_search
from fewer.weights.search.subnetwork import WeightSampler
from fewer.weights.search.warm import WarmLoss


def chain(*sides, seed=0):
    layers = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for a, b in pairwise(sides):
            layers += [nn.Linear(a, b), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def data(size=32, inputs=8):
    x = torch.randn(size, inputs, generator=torch.Generator().manual_seed(1))
    return x, x[:, :4].argmax(1)


def scored(objective, parent, candidate):
    *_, last = objective.bounds(parent, candidate)
    return last


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=3),
    st.floats(0.01, 1),
    st.integers(0, 5),
    st.booleans(),
    st.integers(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_slices_and_masks_of_a_node_sub_network_have_the_same_outputs(hidden, density, seed, rescale, sample):
    parent, (x, _) = chain(8, *hidden, 4), data()
    drawn = NodeSampler(density, rescale).draw(parent, seed, sample)
    sliced, masked = drawn.cut(parent), drawn.masked(parent)
    torch.testing.assert_close(sliced.model(x), masked.model(x), rtol=1e-4, atol=1e-5)
    assert sum(m.numel() for m in sliced.masks.values()) == sum(int(m.sum()) for m in masked.masks.values())
    assert [int(kept.sum()) for kept in drawn.kept.values()] == [max(1, round(density * units)) for units in hidden]


def test_objectives_score_both_forms_alike():
    parent, (x, y) = chain(8, 20, 20, 4), data()
    drawn = NodeSampler(0.4, rescale=True).draw(parent, 0, 0)

    class Masked:
        def cut(self, parent):
            return drawn.masked(parent)

    for objective in (Loss(x, y), WarmLoss(Loss(x, y), x, y, steps=5, batch=8), GradientNorm(x, y)):
        sliced, masked = scored(objective, parent, drawn), scored(objective, parent, Masked())
        assert sliced.value == pytest.approx(masked.value, rel=1e-3)
        assert sliced.multiply_adds == masked.multiply_adds > 0


def test_every_node_is_drawn_as_often_as_any_other():
    parent = chain(8, 10, 4)
    drawn = sum(NodeSampler(0.3).draw(parent, 0, b).kept["0"].int() for b in range(1000))
    assert int(drawn.sum()) == 3000 and int(drawn.min()) > 240 and int(drawn.max()) < 360


def test_a_single_unit_is_left_where_the_share_would_leave_none():
    assert {int(k.sum()) for k in NodeSampler(0.001).draw(chain(8, 10, 10, 4), 0, 0).kept.values()} == {1}


def test_rescaling_keeps_the_size_of_the_weights_in_the_mean():
    parent = chain(8, 400, 400, 4)
    drawn = NodeSampler(0.25, rescale=True).draw(parent, 0, 0)
    model = drawn.cut(parent).model
    assert torch.equal(model[2].weight, parent[2].weight[drawn.kept["2"]][:, drawn.kept["0"]] * 4)  # sqrt(1 / 0.25 ** 2)
    assert model[0].weight.shape == (100, 8) and model[4].weight.shape == (4, 100)


def test_without_rescaling_the_weights_are_the_parents():
    parent = chain(8, 10, 4)
    drawn = WeightSampler(0.5).draw(parent, 0, 0)
    model, masks = drawn.cut(parent)
    assert torch.equal(model[0].weight, parent[0].weight * masks["0"])


@pytest.mark.parametrize("pattern", ["layer", "row", "2:4", "block:2x4", "neuron"])
def test_weights_are_drawn_by_any_pattern(pattern):
    masks = WeightSampler(0.5, pattern).draw(chain(8, 16, 4), 0, 3).cut(chain(8, 16, 4)).masks
    assert {name: float(mask.float().mean()) for name, mask in masks.items()} == {"0": 0.5, "2": 0.5}
    if pattern in ("2:4", "neuron"):
        assert detect(masks["0"]) == pattern
    if pattern == "block:2x4":
        tiles = masks["0"].view(8, 2, 2, 4)
        assert (tiles == tiles[:, :1, :, :1]).all()


def test_convolutions_are_searched_by_weights_and_their_positions_counted():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parent = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 4))
    x, y = torch.randn(10, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(10) % 4
    found = random_search(parent, WeightSampler(0.5), Loss(x, y), 3)
    assert found.multiply_adds == 3 * 10 * (18 * 4 + 32)


def test_more_nodes_to_choose_from_find_a_lower_initial_loss():
    parent, (x, y) = chain(8, 64, 64, 4), data(200)
    found = random_search(parent, NodeSampler(0.2), Loss(x, y), 50)
    assert found.score == min(found.scores) < sorted(found.scores)[25] < max(found.scores)
    assert scored(Loss(x, y), parent, found.loser).value == max(found.scores)


def test_warm_up_leaves_the_parent_alone_and_lowers_the_loss():
    parent, (x, y) = chain(8, 20, 4), data(200)
    before = [p.clone() for p in parent.parameters()]
    drawn = WeightSampler(0.5).draw(parent, 0, 0)
    cold, warm = scored(Loss(x, y), parent, drawn), scored(WarmLoss(Loss(x, y), x, y, steps=30), parent, drawn)
    assert warm.value < 0.9 * cold.value
    assert warm.multiply_adds == cold.multiply_adds + 3 * 30 * 64 * (8 * 20 + 20 * 4) // 2
    assert all(torch.equal(a, b) for a, b in zip(before, parent.parameters(), strict=True))


@pytest.mark.parametrize(
    ("parent", "says"),
    [
        (nn.Linear(8, 4), "this Linear is none"),
        (nn.Sequential(nn.Linear(8, 4)), "two or more linear layers"),
        (nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4)), "layer 1 is a LayerNorm"),
        (nn.Sequential(nn.Linear(8, 8), nn.Softmax(-1), nn.Linear(8, 4)), "layer 1 is a Softmax"),
        (nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(6, 4)), "layer 2 reads 6 values, but layer 0 puts out 8"),
    ],
)
def test_nodes_of_what_is_no_chain_are_refused(parent, says):
    with pytest.raises(ModelError, match=says):
        NodeSampler(0.5).draw(parent, 0, 0)


@pytest.mark.parametrize("sampler", [NodeSampler, WeightSampler])
@pytest.mark.parametrize("density", [0, -0.1, 1.1])
def test_an_empty_or_impossible_density_is_refused(sampler, density):
    with pytest.raises(BudgetError):
        sampler(density)


def test_a_pattern_that_does_not_fit_is_an_error_that_names_the_layer():
    with pytest.raises(PatternError, match="0 has 6"):
        WeightSampler(0.5, "2:4").draw(chain(6, 8, 4), 0, 0)
