import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fewer.core import Uniform
from fewer.errors import ModelError
from fewer.weights.effective import effective
from fewer.weights.flow import effective_weights
from fewer.weights.networks import CifarResNet, ViT, WideResNet
from fewer.weights.networks.perceptron import perceptron
from fewer.weights.training.moment import active, full
from fewer.weights.training.start import random_masks


@settings(deadline=None, max_examples=40)
@given(density=st.floats(0.02, 0.6), seed=st.integers(0, 99), sides=st.lists(st.integers(2, 12), min_size=3, max_size=6))
def test_on_a_chain_it_is_what_alive_units_say(density, seed, sides):
    model = perceptron(*sides)
    masks = random_masks(model, density, Uniform(), seed)
    assert effective_weights(model, masks, torch.zeros(1, sides[0])) == effective(list(masks.values())).effective


@pytest.mark.parametrize("network", [CifarResNet(8), CifarResNet(56), WideResNet(10)])
def test_every_weight_of_a_dense_network_is_effective_whatever_its_values(network):
    model = network.build(1, (1, 8, 8), 10)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            module.running_mean.normal_()
    masks = full(model)
    assert effective_weights(model, masks, torch.zeros(1, 1, 8, 8)) == active(masks)


def test_a_signal_comes_through_a_shortcut_when_the_block_is_empty():
    model = CifarResNet(8).build(4, (1, 8, 8), 10)
    masks = full(model)
    masks["1.0.conv1"].zero_()
    dead = int(masks["1.0.conv2"].sum())  # reads nothing now, and all else is reached around it
    assert effective_weights(model, masks, torch.zeros(1, 1, 8, 8)) == active(masks) - dead


def test_the_model_stays_as_it_was():
    model = CifarResNet(8).build(2, (1, 8, 8), 10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    effective_weights(model, full(model), torch.zeros(1, 1, 8, 8))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_paths_are_not_followed_through_attention():
    model = ViT(depth=1).build(8, (1, 8, 8), 10)
    with pytest.raises(ModelError, match="LayerNorm"):
        effective_weights(model, full(model), torch.zeros(1, 1, 8, 8))
