import dataclasses
import json

import pytest
import torch

from fewer.compare.lessons import FACTS
from fewer.comparing import arms, comparison
from fewer.core import Count, Density, Method, stream
from fewer.errors import BudgetError, DataError, MethodError
from fewer.weights.methods import Magnitude
from fewer.weights.networks import CifarResNet, Perceptron, ViT
from fewer.weights.tasks.digits import digits
from fewer.weights.tasks.images import ImageTraining, dead, mirrored_and_shifted, pictures
from fewer.weights.training.at_width import AtWidth
from fewer.weights.training.methods import DenseTraining, RandomPruning, RigL, SnipTraining
from fewer.weights.training.problem import AdamWRecipe, Recipe
from fewer.weights.training.updates import Updates

TASK = ImageTraining(network=CifarResNet(8), width=2, recipe=Recipe(epochs=1, rate=0.1))
CHAIN = dataclasses.replace(TASK, network=Perceptron(), width=16)
VIT = dataclasses.replace(TASK, network=ViT(depth=1), width=8, recipe=AdamWRecipe(epochs=1))


@pytest.mark.parametrize("task", [TASK, CHAIN, VIT], ids=lambda t: type(t.network).__name__)
@pytest.mark.parametrize("method", [DenseTraining(), RandomPruning(), RigL(updates=Updates(every=2)), SnipTraining()])
def test_every_network_is_trained_by_every_method_and_measured(task, method):
    found = task.measure(method, Density(0.3), 0)
    assert set(found.quality) == set(task.quality)
    assert all(0 <= value <= 1 for name, value in found.quality.items() if name != "nll")
    assert set(found.cost) == {"weights", "parameters", "flops", "train_macs"}
    facts = found.detail["facts"]
    assert set(facts) <= set(FACTS)
    assert ("effective_density" in facts) == (task is not VIT)
    assert facts["nominal_density"] == pytest.approx(1.0 if method.kind == "dense" else 0.3, abs=0.01)
    assert facts["total_density"] >= facts["nominal_density"]
    assert len(found.detail["gradient_norms"]["norms"]) == 2  # of 11 steps, every tenth
    json.dumps(found.detail, allow_nan=False)


def test_training_costs_count_every_output_position():
    dense = TASK.measure(DenseTraining(), Density(1.0), 0)
    # forward, gradient of inputs and of weights, for 1,347 images in one epoch
    assert dense.cost["train_macs"] == 3 * 1347 * dense.detail["facts"]["macs_dense"]
    assert dense.cost["flops"] == 2 * dense.detail["facts"]["macs_active"]


def test_the_same_cell_measures_the_same_again():
    first, second = (TASK.measure(RandomPruning(), Density(0.3), 1) for _ in range(2))
    assert first == second


def test_an_arm_may_bring_its_own_width():
    narrow = dataclasses.replace(CHAIN, width=8).measure(RandomPruning(), Density(0.3), 0)
    assert CHAIN.measure(AtWidth(RandomPruning(), 8), Density(0.3), 0) == narrow


def test_a_share_to_test_on_is_drawn_once_for_all():
    assert torch.equal(pictures("digits", 0.4).test_x.flatten(1), digits().test_x)
    assert torch.equal(pictures("digits", 0.4).train_y, digits().train_y)
    with pytest.raises(BudgetError, match="leaves none"):
        pictures("digits", 0.0)


def test_dead_units_are_rows_and_columns_without_a_weight():
    mask = torch.tensor([[1, 0, 0], [0, 0, 0]]).bool()
    kernel = torch.zeros(2, 3, 3, 3, dtype=torch.bool)
    kernel[1, 2, 0, 0] = True
    assert dead({"fc": mask, "conv": kernel}) == {"fc": {"rows": 1, "columns": 2}, "conv": {"rows": 1, "columns": 2}}


def test_augmented_images_are_the_same_pixels_moved_and_mirrored():
    images = torch.zeros(200, 1, 16, 16)
    images[:, 0, 7, 4] = 1
    moved = mirrored_and_shifted(images, stream(0))
    rows, columns = moved[:, 0].flatten(1).argmax(1) // 16, moved[:, 0].flatten(1).argmax(1) % 16
    assert moved.sum() == 200
    assert set(rows.tolist()) == set(range(5, 10))
    assert set(columns.tolist()) == set(range(2, 7)) | set(range(9, 14))  # 4 and 11, each up to 2 off


def test_augmentation_changes_what_is_trained():
    plain, augmented = (dataclasses.replace(CHAIN, augment=a).measure(DenseTraining(), Density(1.0), 0) for a in (False, True))
    assert plain.quality["nll"] != augmented.quality["nll"]


def test_only_training_methods_under_a_density_are_measured():
    with pytest.raises(MethodError, match=r"magnitude does not train.*random-pruning"):
        TASK.measure(Magnitude(), Density(0.5), 0)
    with pytest.raises(MethodError, match="Method does not train"):
        TASK.measure(Method(), Density(0.5), 0)
    with pytest.raises(BudgetError, match="needs a density"):
        TASK.measure(RandomPruning(), Count(5), 0)


def test_unknown_images_are_refused_with_those_that_are_known():
    with pytest.raises(DataError, match="digits"):
        dataclasses.replace(TASK, images="cifar").measure(RandomPruning(), Density(0.5), 0)


def test_training_methods_stand_beside_dense_training_and_a_static_random_mask():
    found = arms(["random-pruning", "rigl", "snip-training"])
    assert {name: arm.kind for name, arm in found.items()} == {
        "dense": "dense",
        "random": "random",
        "rigl": "method",
        "snip-training": "method",
        "random:snip-training": "random",
    }
    with pytest.raises(MethodError, match="patterns of their own"):
        arms(["rigl"], "2:4")


def test_a_method_by_its_slug_moves_often_enough_on_a_short_training_and_one_of_your_own_as_you_say():
    planned = comparison(["rigl"], CHAIN, [0.3], 1)
    assert planned.arms["rigl"] == RigL(updates=Updates(every=1))
    assert comparison([RigL()], CHAIN, [0.3], 1).arms["rigl"] == RigL()
