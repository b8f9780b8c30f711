import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

import fewer
from fewer.core import Density, method
from fewer.errors import BudgetError, MethodError
from fewer.weights.networks.perceptron import perceptron
from fewer.weights.search.nodes import NodeSampler
from fewer.weights.search.random_search import RandomSearch
from fewer.weights.tasks.digits_convergence import RECIPE, DigitsConvergence, Goal, Parts
from fewer.weights.training.dense import DenseTraining
from fewer.weights.training.moment import active
from fewer.weights.training.problem import Problem, Recipe


def problem(width=16):
    x = torch.randn(120, 8, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(epochs=3, batch=30, falls=(), weight_decay=0.0)
    return Problem(x, x[:, :4].argmax(1), lambda w: perceptron(8, w, w, 4), width, recipe)


def weights(trained):
    return [p.detach() for p in trained.model.parameters()]


def test_the_method_is_registered_and_its_twin_is_the_first_sample():
    assert fewer.methods()["random-search"] is RandomSearch
    twin = method("random:random-search")
    assert (twin.kind, twin.samples, twin.slug) == ("random", 1, "random-subnetwork")
    search = RandomSearch(samples=10)
    found = search.search(problem(), 0.3).found
    control = search.random_twin().search(problem(), 0.3).found.winner
    assert all(torch.equal(control.kept[n], found.control.kept[n]) for n in control.kept)


def test_all_arms_start_from_the_dense_networks_own_weights():
    dense = DenseTraining(seed=3).train(replace(problem(), recipe=Recipe(epochs=0)))
    parent = RandomSearch(seed=3, samples=2).search(problem(), 0.3).parent
    assert all(torch.equal(a, b) for a, b in zip(dense.model.parameters(), parent.parameters(), strict=True))


def test_the_winner_trains_from_where_it_was_scored():
    search = RandomSearch(samples=10)
    searched = search.search(problem(), 0.3)
    untrained = search.train_found(replace(problem(), recipe=Recipe(epochs=0)), searched).model
    with torch.no_grad():
        start = cross_entropy(untrained(problem().inputs), problem().labels)
    assert float(start) == pytest.approx(searched.found.score, rel=1e-5)


def test_slices_and_masks_train_to_the_same_network():
    search, p = RandomSearch(samples=5), problem()
    searched = search.search(p, 0.3)
    sliced = search.train_found(p, searched).model
    masked, masks = searched.found.winner.masked(searched.parent)
    p.fit(masked, 1.0, search.seed, masks=masks)
    torch.testing.assert_close(sliced(p.inputs), masked(p.inputs), rtol=1e-3, atol=1e-4)


def test_the_loser_is_the_worst_start():
    winner, loser = (RandomSearch(samples=10, pick=pick) for pick in ("winner", "loser"))
    searched = winner.search(problem(), 0.3)
    assert searched.found.scores[searched.found.sample] < max(searched.found.scores)
    assert not all(
        torch.equal(a, b)
        for a, b in zip(weights(winner.train(problem(), 0.3)), weights(loser.train(problem(), 0.3)), strict=True)
    )


def test_a_density_is_of_all_weights_or_of_nodes():
    by_weights = RandomSearch(samples=1).train(problem(), 0.3)
    size = sum(math.prod(shape) for shape in problem().shapes.values())
    assert abs(active(by_weights.masks) - 0.3 * size) < 30 and by_weights.record.size == size
    by_nodes = RandomSearch(samples=1, share_of="nodes").train(problem(), 0.5)
    assert active(by_nodes.masks) == 8 * 8 + 8 * 8 + 8 * 4


def test_the_cost_of_the_search_is_in_the_record_unless_nothing_was_searched():
    search = RandomSearch(samples=10)
    found, once = search.search(problem(), 0.3).found, search.random_twin().train(problem(), 0.3)
    assert search.train(problem(), 0.3).record.macs == found.multiply_adds + once.record.macs
    assert once.record.macs == 3 * 3 * 120 * active(once.masks)


@pytest.mark.parametrize("objective", ["initial-loss", "validation-loss", "warm-loss", "gradient-norm"])
def test_every_objective_searches(objective):
    found = RandomSearch(samples=4, objective=objective, warm_up=3).search(problem(), 0.3).found
    assert len(set(found.scores)) == 4


def test_weights_in_blocks_are_searched_and_trained_under_masks():
    trained = RandomSearch(samples=3, unit="block:2x2").train(problem(), 0.25)
    assert active(trained.masks) == 0.25 * trained.record.size
    assert all(
        (w[~trained.masks[n]] == 0).all() for n, w in ((n, trained.model.get_submodule(n).weight) for n in trained.masks)
    )


@pytest.mark.parametrize("wrong", [{"objective": "luck"}, {"pick": "second"}, {"share_of": "bits"}])
def test_unknown_choices_are_refused(wrong):
    with pytest.raises(MethodError, match="allowed"):
        RandomSearch(**wrong)
    with pytest.raises(BudgetError, match="at least 1 sample"):
        RandomSearch(samples=0)


def test_the_task_measures_and_tells_what_the_search_cost():
    task = DigitsConvergence(width=32, recipe=replace(RECIPE, epochs=12))
    measured = task.measure(RandomSearch(samples=5, share_of="nodes"), Density(0.5), 0)
    facts = measured.detail["facts"]
    assert measured.quality["accuracy"] > 0.8 and 1 <= measured.quality["epochs_to_goal"] <= 13
    assert facts["search_share"] == pytest.approx(5 / (3 * 12))
    assert measured.cost["weights"] == 64 * 16 + 16 * 16 + 16 * 10


def test_each_seed_splits_anew_and_no_image_is_in_two_parts():
    task = DigitsConvergence()
    parts = task.parts(0)
    assert [len(y) for y in parts[1::2]] == [862, 216, 719]
    together = torch.cat(parts[::2]).sum(1)
    assert torch.equal(together.sort().values, torch.cat(task.parts(1)[::2]).sum(1).sort().values)
    assert not torch.equal(parts.test_y, task.parts(1).test_y)


def test_the_goal_is_the_first_epoch_whose_network_is_good_enough():
    x = torch.eye(2)
    goal = Goal(Parts(x, x, x, torch.tensor([0, 1]), x, x), 0.9, steps=2)
    bad, good = (lambda x: -x), (lambda x: x)
    for step, model in enumerate((good, bad, bad, bad, good)):
        goal.watch(step, model, {})
    assert goal.reached == 2  # the network before step 0 is untrained and does not count
    goal.look(good, 3)
    assert goal.reached == 2


def test_a_network_that_never_gets_there_counts_as_one_epoch_more():
    task = DigitsConvergence(width=8, recipe=replace(RECIPE, epochs=1), goal=1.0)
    assert task.measure(DenseTraining(), Density(1.0), 0).quality["epochs_to_goal"] == 2


def test_nodes_are_drawn_for_every_width_that_weights_ask_for():
    sampler = RandomSearch().sampler(problem(), 0.3)
    assert isinstance(sampler, NodeSampler) and sampler.density * 16 == round(sampler.density * 16)
