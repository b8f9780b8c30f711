import pytest
import torch

from fewer.errors import ModelError
from fewer.measure.flops import count
from fewer.weights.networks import CifarResNet, Perceptron, ViT, WideResNet
from fewer.weights.networks.resnet import CifarResNetByDepth
from fewer.weights.training.moment import maskable
from fewer.weights.training.problem import uses_of

NETWORKS = [(Perceptron(), 16), (CifarResNet(8), 4), (WideResNet(10), 1), (ViT(depth=2, patch=4), 16)]


def size(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_cifar_resnets_have_as_many_parameters_as_published(depth, millions):
    """He et al. 2016, table 6; theirs have shortcuts without weights, which is less than 2% here."""
    assert size(CifarResNet(depth).build(16, (3, 32, 32), 10)) / 1e6 == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize(("depth", "width", "millions"), [(16, 8, 11.0), (40, 2, 2.2), (28, 10, 36.5)])
def test_wide_resnets_have_as_many_parameters_as_published(depth, width, millions):
    """Zagoruyko & Komodakis 2016, tables 4 and 5."""
    with torch.device("meta"):
        assert size(WideResNet(depth).build(width, (3, 32, 32), 10)) / 1e6 == pytest.approx(millions, rel=0.02)


def test_a_resnet_20_runs_as_many_multiply_adds_as_published():
    model = CifarResNet(20).build(16, (3, 32, 32), 10)
    assert count(model, torch.zeros(1, 3, 32, 32)).dense / 2e6 == pytest.approx(41, rel=0.01)  # 40.6 without shortcuts


@pytest.mark.parametrize(("network", "width"), NETWORKS, ids=lambda n: type(n).__name__)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 12)])
def test_every_network_takes_every_shape_and_gives_one_logit_a_class(network, width, shape):
    logits = network.build(width, shape, 7)(torch.rand(2, *shape))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("network", "width"), NETWORKS, ids=lambda n: type(n).__name__)
def test_all_that_a_network_draws_lies_in_layers_that_masks_reach(network, width):
    model = network.build(width, (1, 8, 8), 10)
    reached = {id(p) for name in maskable(model) for p in model.get_submodule(name).parameters()}
    others = [p for p in model.parameters() if id(p) not in reached]
    assert all((p == p.flatten()[0]).all() for p in others)


@pytest.mark.parametrize(("network", "width"), NETWORKS, ids=lambda n: type(n).__name__)
def test_at_twice_the_width_there_are_some_four_times_as_many_weights(network, width):
    narrow, wide = (size(network.build(w, (1, 8, 8), 10)) for w in (2 * width, 4 * width))
    assert 2 < wide / narrow <= 4.2


def test_depth_can_be_the_size_that_grows():
    ours, theirs = CifarResNetByDepth(4).build(14, (1, 8, 8), 10), CifarResNet(14).build(4, (1, 8, 8), 10)
    assert size(ours) == size(theirs)


def test_a_convolution_is_used_at_each_output_position():
    model = CifarResNet(8).build(4, (1, 8, 8), 10)
    uses = uses_of(model, torch.zeros(1, 1, 8, 8))
    assert uses["0.0"] == uses["1.0.conv2"] == 64
    assert uses["2.0.conv1"] == uses["2.0.shortcut.0"] == 16
    assert uses["3.0.conv2"] == 4
    assert uses["6"] == 1
    assert uses.keys() == maskable(model).keys()


@pytest.mark.parametrize(
    ("network", "width", "message"),
    [
        (CifarResNet(21), 16, "6n \\+ 2 layers"),
        (CifarResNet(2), 16, "6n \\+ 2 layers"),
        (WideResNet(20), 1, "6n \\+ 4 layers"),
        (ViT(patch=3), 16, "cannot be cut into patches of 3"),
        (ViT(), 18, "multiple of 4"),
        (Perceptron(hidden=0), 16, "at least 1 hidden"),
        (Perceptron(), 0, "at least 1 hidden"),
    ],
)
def test_an_architecture_that_cannot_be_is_refused(network, width, message):
    with pytest.raises(ModelError, match=message):
        network.build(width, (1, 8, 8), 10)
