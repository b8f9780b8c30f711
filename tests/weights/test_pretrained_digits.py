import json
import math

import pytest
import torch

from fewer.compare.comparison import Comparison
from fewer.compare.lessons import FACTS
from fewer.compare.result import Results
from fewer.core import Count, Density
from fewer.errors import MethodError
from fewer.weights.methods import Dense, Magnitude, Random, Snip, SparseGPT, Wanda
from fewer.weights.tasks.digits import digits
from fewer.weights.tasks.pretrained_digits import PretrainedDigits, _trained
from fewer.weights.training.methods import RigL

TASK = PretrainedDigits()
SMALL = PretrainedDigits(width=16, epochs=2)
ARMS = {
    "dense": Dense(),
    "random": Random(),
    "magnitude": Magnitude(),
    "wanda": Wanda(),
    "sparsegpt": SparseGPT(),
}


@pytest.fixture(scope="module")
def results() -> Results:
    return Comparison("digits", TASK, ARMS, (0.5, 0.3), seeds=(0, 1)).run()


def mean(results: Results, arm: str, density: float, quality: str) -> float:
    rows = results.of(arm, density)
    return sum(row.quality[quality] for row in rows) / len(rows)


def test_the_dense_networks_are_good_and_differ_by_seed(results):
    first, second = results.of("dense")
    assert min(first.quality["accuracy"], second.quality["accuracy"]) > 0.96
    assert first.quality["nll"] != second.quality["nll"]


def test_at_three_tenths_dense_is_best_and_random_worst(results):
    dense, random = mean(results, "dense", 1.0, "accuracy"), mean(results, "random", 0.3, "accuracy")
    for arm in ("magnitude", "wanda", "sparsegpt"):
        assert random + 0.02 < mean(results, arm, 0.3, "accuracy") < dense + 0.005
        assert mean(results, arm, 0.3, "nll") < mean(results, "random", 0.3, "nll")


def test_snip_beats_random_where_it_was_made_for_at_the_start_of_training():
    task = PretrainedDigits(epochs=1)
    accuracy = {
        method: sum(task.measure(method, Density(0.3), seed).quality["accuracy"] for seed in (0, 2))
        for method in (Snip(), Random())
    }
    assert accuracy[Snip()] > accuracy[Random()]


def test_weights_that_make_up_for_those_removed_are_better_than_masks(results):
    assert mean(results, "sparsegpt", 0.3, "nll") < min(mean(results, arm, 0.3, "nll") for arm in ("wanda", "magnitude"))


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != "dense"])
def test_a_cell_says_what_was_pruned_and_what_it_cost(results, arm):
    row, dense = results.of(arm, 0.3)[0], results.of("dense")[0]
    assert [(layer["name"], layer["shape"]) for layer in row.detail["layers"]] == [("0", [256, 64]), ("2", [256, 256])]
    assert all(layer["density"] == math.ceil(0.3 * layer["shape"][1]) / layer["shape"][1] for layer in row.detail["layers"])
    assert row.cost["flops_active"] < row.cost["flops_executed"] == dense.cost["flops_active"]
    assert row.cost["bytes_smallest"] < row.cost["bytes_compact_file"] < row.cost["bytes_saved_file"]
    assert set(row.detail["facts"]) <= set(FACTS)
    assert row.detail["facts"]["simulated"] == 1
    kept = sum(sum(layer["histogram"]["kept"]) for layer in row.detail["layers"])
    assert kept == sum(layer["density"] * math.prod(layer["shape"]) for layer in row.detail["layers"])
    json.dumps(row.detail, allow_nan=False)


def test_a_network_is_trained_once_for_all_arms_and_never_changed():
    before = torch.nn.utils.parameters_to_vector(_trained(SMALL, 3).parameters()).clone()
    for method in (Random(), SparseGPT(), Snip()):
        SMALL.measure(method, Density(0.2), 3)
    assert torch.equal(torch.nn.utils.parameters_to_vector(_trained(SMALL, 3).parameters()), before)
    SMALL.close()
    state = torch.get_rng_state()
    again = _trained(SMALL, 3)
    assert torch.equal(torch.nn.utils.parameters_to_vector(again.parameters()), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_is_no_one_elses():
    assert all(TASK.depends_on_seed(arm) for arm in ARMS.values())
    wider, longer = PretrainedDigits(width=17, epochs=2), PretrainedDigits(width=16, epochs=3)
    assert len({_trained(task, 0) for task in (SMALL, wider, longer)} | {_trained(SMALL, 1)}) == 4


def test_the_same_cell_measures_the_same_again():
    first = SMALL.measure(Wanda(), Density(0.4), 1)
    SMALL.close()
    assert SMALL.measure(Wanda(), Density(0.4), 1).quality == first.quality


def test_calibration_sees_the_training_images_alone():
    given = []

    class Watching(type(Wanda())):  # type: ignore[misc]
        def score(self, weight, seen):
            if seen.name == "0":
                given.append(seen.norm)
            return super().score(weight, seen)

    SMALL.measure(Watching(), Density(0.5), 1)
    images = digits().train_x
    torch.testing.assert_close(given[0] / given[0].norm(), images.norm(dim=0) / images.norm())


def test_only_pruners_under_a_density_are_measured():
    with pytest.raises(MethodError, match="rigl"):
        SMALL.measure(RigL(), Density(0.5), 0)
    with pytest.raises(MethodError, match="to a density"):
        SMALL.measure(Wanda(), Count(5), 0)
