import json

import pytest
import torch

from fewer.compare.lessons import FACTS, card
from fewer.core import Count, Density, Method
from fewer.errors import BudgetError, MethodError
from fewer.measure.flops import count
from fewer.weights.tasks.digits import ARMS, DigitsTraining, digits, perceptron
from fewer.weights.tasks.products import product_results

TASK = DigitsTraining(epochs=1, width=16, rounds=2)


def test_the_split_is_fixed_and_disjoint():
    found = digits()
    assert (found.train_x.shape, found.test_x.shape) == ((1078, 64), (719, 64))
    assert torch.cat([found.train_y, found.test_y]).bincount().min() > 170
    assert float(found.train_x.min()) == 0
    assert float(found.train_x.max()) == 1


def test_the_twelve_arms_are_those_of_the_card():
    assert len(ARMS) == 12
    assert {name for name, arm in ARMS.items() if arm.kind == "dense"} == {"dense", "dense-longer"}
    assert {name for name, arm in ARMS.items() if arm.kind == "random"} == {"random", "random-4x"}


def test_multiply_adds_of_the_dense_network_are_those_of_a_counter_that_knows_no_sparsity():
    network = perceptron(128)
    dense = DigitsTraining(epochs=0, rounds=1).measure(ARMS["dense"], Density(1.0), 0)
    assert count(network, torch.zeros(1, 64)).dense == 2 * dense.detail["facts"]["macs_active"] == 2 * 25856


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_is_measured_with_all_facts_that_concern_it(arm):
    found = TASK.measure(ARMS[arm], Density(0.3), 0)
    assert set(found.quality) == set(TASK.quality)
    assert all(0 <= found.quality[name] <= 1 for name in ("accuracy", "ece", "worst_class"))
    assert set(found.cost) == {"weights", "flops", "latency_ms", "train_macs"}
    json.dumps(found.detail, allow_nan=False)
    facts = found.detail["facts"]
    assert set(facts) <= set(FACTS)
    assert facts["effective_density"] <= facts["nominal_density"]
    # What is read from the dense arm or from the qualities, and baselines that an arm has none of.
    left_out = {"simulated", "train_macs_dense", "memory_peak_dense", "ece", "nll", "worst_class"}
    if ARMS[arm].kind == "dense":
        left_out |= {"small_dense", "dense_equal_epochs", "at_equal_flops", "dense_at_equal_flops"}
    if ARMS[arm].kind != "method" or arm == "small-dense":
        left_out |= {"random_same_ratios", "random_uniform"}
    assert set(facts) == set(FACTS) - left_out


def test_the_same_cell_measures_the_same_again():
    first = TASK.measure(ARMS["rigl"], Density(0.3), 1)
    TASK.close()
    second = TASK.measure(ARMS["rigl"], Density(0.3), 1)
    assert first.quality == second.quality
    assert first.detail["facts"]["r_itop"] == second.detail["facts"]["r_itop"]


def test_neurons_are_detected_as_stated():
    found = TASK.measure(ARMS["neurons-finetuned"], Density(0.3), 0).detail["detected"]
    assert set(found.values()) <= {"neuron", "dense"}


def test_only_training_methods_under_a_density_are_measured():
    with pytest.raises(MethodError, match="does not train"):
        TASK.measure(Method(), Density(0.5), 0)
    with pytest.raises(BudgetError, match="needs a density"):
        TASK.measure(ARMS["rigl"], Count(5), 0)


def test_forms_of_a_product_are_judged_by_the_card():
    found = product_results(densities=(0.1, 0.5), side=64, batch=4, repeats=3)
    items = card(found).of("masked", 0.5, "speed_measured") + card(found).of("csr", 0.5, "speed_measured")
    assert items[0].verdict == "warn"  # it simulates, whatever the clock says
    assert items[1].verdict == ("warn" if items[1].value < 1 else "pass")
    assert [i.value for i in card(found).of("sliced", name="speed_theory")] == [64 / 6, 2.0]
