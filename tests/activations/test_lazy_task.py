import pytest
import torch
from torch import nn

from fewer.activations.lazy.fit import Stopped, fit
from fewer.activations.lazy.measure import measure
from fewer.activations.lazy.methods import DropoutTraining, NaturalReLU, TopKTraining
from fewer.activations.lazy.networks import build, logits
from fewer.activations.lazy.scenes import scenes
from fewer.activations.lazy.task import LazyNeurons, _corrupted, _parts
from fewer.core import Count, Density
from fewer.errors import BudgetError, MethodError
from fewer.weights.methods import Wanda

SHORT = LazyNeurons(epochs=1, steps=1, counted=8)


def test_the_parts_share_no_image():
    parts = _parts("digits")
    assert [len(part) for part in (parts.train_y, parts.held_y, parts.test_y)] == [863, 215, 719]
    whole = torch.cat([parts.train_x, parts.held_x, parts.test_x]).flatten(1)
    # The set itself has some images twice.
    assert len(whole.unique(dim=0)) >= 1790


def test_a_scene_holds_four_digits_mirrored_or_not_and_counts_the_even_ones():
    digits, values = torch.rand(6, 1, 3, 3), torch.tensor([0, 1, 2, 3, 5, 8])
    images, labels = scenes(digits, values, 200, "train")
    assert images.shape == (200, 1, 6, 6)
    either, mirrored = torch.cat([digits, digits.flip(-1)]), 0
    for image, label in zip(images, labels, strict=True):
        quarters = [image[:, top : top + 3, left : left + 3] for top in (0, 3) for left in (0, 3)]
        found = [next(i for i, one in enumerate(either) if torch.equal(one, quarter)) for quarter in quarters]
        assert label == sum(int(values[i % 6]) % 2 == 0 for i in found)
        mirrored += sum(i >= 6 for i in found)
    assert mirrored / 800 == pytest.approx(0.5, abs=0.06)
    assert not torch.equal(images, scenes(digits, values, 200, "test")[0])


def test_scenes_of_different_parts_share_no_digit():
    whole, one = _parts("even-digits"), _parts("digits")
    assert (len(whole.train_y), len(whole.held_y), len(whole.test_y), whole.classes) == (3000, 750, 1000, 5)
    own = {image.numpy().tobytes() for image in torch.cat([one.test_x, one.test_x.flip(-1)])}
    assert {image[:, :8, 8:].contiguous().numpy().tobytes() for image in whole.test_x} <= own


@pytest.mark.parametrize("network", ["vit", "vit-2x2"])
def test_in_a_silent_network_no_unit_fires_and_what_is_left_still_learns(network):
    model = build(network, (1, 8, 8), 10, 256, seed=0)
    x = torch.rand(2, 1, 8, 8)
    NaturalReLU(network, silent=True).prepare(model, Density(1.0), x)
    assert measure(model, x).highest == 0
    logits(model, x).sum().backward()
    assert model.vit.layers[0].mlp.fc1.weight.grad.abs().sum() == 0 and model.classifier.weight.grad.abs().sum() > 0


def test_random_labels_and_inputs_have_nothing_of_the_true_ones():
    parts = _parts("digits")
    labels = _corrupted(parts, "random", "true", 0)
    assert (labels.train_y == parts.train_y).double().mean() == pytest.approx(0.1, abs=0.04)
    assert torch.equal(labels.train_x, parts.train_x)
    inputs = _corrupted(parts, "true", "random", 0)
    assert torch.equal(inputs.train_y, parts.train_y)
    assert float(inputs.test_x.mean()) == pytest.approx(0, abs=0.02)


def test_dropout_leaves_the_share_of_the_budget_in_training_and_all_in_testing():
    model = build("perceptron", (1, 8, 8), 10, 512, seed=0)
    DropoutTraining("perceptron").prepare(model, Density(0.25), torch.ones(1, 1, 8, 8))
    dropout = next(m for m in model.modules() if isinstance(m, nn.Dropout))
    assert (dropout.train()(torch.ones(100, 512)) != 0).double().mean() == pytest.approx(0.25, abs=0.01)
    assert (dropout.eval()(torch.ones(3, 512)) == 1).all()
    with pytest.raises(BudgetError, match="share of units that stay"):
        DropoutTraining("perceptron").prepare(model, Count(3), torch.ones(1, 1, 8, 8))


def test_the_epoch_to_stop_at_is_that_of_the_lowest_loss_on_held_out_data():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    x = torch.randn(20, 2)
    held, labels = torch.randn(50, 2), torch.randint(2, (50,))
    stopped, losses, kept = Stopped(held, labels), [], []

    def watch(epoch, model):
        stopped.look(model, epoch)
        losses.append(float(nn.functional.cross_entropy(model(held), labels).detach()))
        kept.append(model[0].weight.detach().clone())

    fit(model, x, torch.randint(2, (20,)), epochs=6, batch=5, rate=0.05, seed=0, watch=watch)
    best = min(range(7), key=losses.__getitem__)
    assert stopped.epoch == best
    assert torch.equal(stopped.weights["0.weight"], kept[best])


@pytest.mark.parametrize(
    ("method", "budget"),
    [
        (NaturalReLU("perceptron"), 1.0),
        (TopKTraining(network="perceptron"), 0.125),
        (TopKTraining(network="perceptron").random_twin(), 0.125),
        (NaturalReLU("bytes", whole=False), 1.0),
    ],
    ids=["dense", "topk", "random", "bytes"],
)
def test_a_network_is_traced_from_step_0(method, budget):
    found = SHORT.measure(method, Density(budget), 0)
    assert [point["at"] for point in found.detail["trace"]] == [0, 1]
    images = method.network != "bytes"
    assert set(found.quality) == (set(SHORT.quality) if images else {"density", "highest_density"})
    layers = found.detail["trace"][0]["test"]
    assert len(layers) == (2 if images else 3)
    if budget < 1:
        assert max(layers) <= budget
    else:
        assert layers == pytest.approx([0.5] * len(layers), abs=0.1)


def test_untrained_a_network_is_measured_at_step_0():
    found = SHORT.measure(NaturalReLU("perceptron", trained=False), Density(1.0), 0)
    assert [point["at"] for point in found.detail["trace"]] == [0]
    assert set(found.quality) == {"density", "highest_density"}


def test_enlarged_images_are_read_by_a_network_of_that_size():
    found = LazyNeurons(images="digits", epochs=1, counted=2, batch=512, side=16).measure(
        NaturalReLU("perceptron", whole=False), Density(1.0), 0
    )
    assert found.detail["facts"]["units"] == 1024
    assert found.quality["accuracy"] > 0.3


def test_a_cell_is_the_same_when_measured_again():
    first, second = (SHORT.measure(TopKTraining(network="perceptron"), Density(0.25), 1).quality for _ in range(2))
    assert first == second


def test_a_method_that_does_nothing_in_training_is_refused():
    with pytest.raises(MethodError, match="does nothing"):
        SHORT.measure(Wanda(), Density(0.5), 0)
