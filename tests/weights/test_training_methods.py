import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_problem import small_problem
from torch import nn

from fewer.core import ERK, Global, Uniform, UniformPlus, method, stream
from fewer.errors import ModelError
from fewer.weights.training.chain import forward, links
from fewer.weights.training.counts import layer_counts
from fewer.weights.training.dense import width_for
from fewer.weights.training.methods import (
    SET,
    DenseTraining,
    GradualMagnitude,
    MagnitudeFinetuned,
    NeuronsFinetuned,
    RandomPruning,
    RigL,
    SmallDense,
)
from fewer.weights.training.moment import active, full, maskable
from fewer.weights.training.problem import Recipe
from fewer.weights.training.start import he_normal, random_masks
from fewer.weights.training.updates import Updates

SIZE = 6 * 12 + 12 * 12 + 12 * 2  # 240
SPARSE = [
    RandomPruning(),
    RandomPruning(allocation=Uniform()),
    SET(updates=Updates(every=2)),
    RigL(updates=Updates(every=2)),
    MagnitudeFinetuned(),
    MagnitudeFinetuned(extra=0.0),
    MagnitudeFinetuned().random_twin(),
    MagnitudeFinetuned().uniform_twin(),
    GradualMagnitude(every=2),
    GradualMagnitude(every=2).random_twin(),
]


@pytest.mark.parametrize("trainer", SPARSE, ids=lambda t: type(t).__name__)
def test_exactly_the_asked_share_of_weights_is_left_and_the_rest_is_zero(trainer):
    trained = trainer.train(small_problem(), 0.21)
    assert active(trained.masks) == math.ceil(0.21 * SIZE)
    assert all(not w[~trained.masks[name]].any() for name, w in maskable(trained.model).items())


@pytest.mark.parametrize("density", [0.1, 0.21, 0.5, 1.0])
def test_r_itop_of_a_static_run_is_its_density_and_nothing_churns(density):
    trained = RandomPruning().train(small_problem(), density)
    assert trained.record.r_itop == active(trained.masks) / SIZE == math.ceil(density * SIZE - 1e-6) / SIZE
    assert trained.record.churn == 0
    assert trained.record.peak_density == trained.record.r_itop


def test_dynamic_training_sees_more_positions_at_the_same_peak():
    static, moving = (m.train(small_problem(), 0.2).record for m in (RandomPruning(), SET(updates=Updates(every=2))))
    assert moving.r_itop > static.r_itop
    assert moving.peak_density == static.peak_density
    assert moving.macs == static.macs


def test_rigl_pays_for_the_dense_gradients_of_its_updates():
    static, rigl = (m.train(small_problem(), 0.2).record for m in (RandomPruning(), RigL(updates=Updates(every=2))))
    updates = len(rigl.churns)
    assert updates == 5  # of 16 steps: 2, 4 ... 10; the end is at 12
    assert rigl.macs - static.macs == updates * 10 * (SIZE - SIZE // 5)


def test_costs_of_the_dense_training_before_a_cut_are_counted():
    dense = DenseTraining().train(small_problem()).record
    cut = MagnitudeFinetuned(extra=0.0).train(small_problem(), 0.2).record
    tuned = MagnitudeFinetuned().train(small_problem(), 0.2).record
    assert dense.macs == 3 * SIZE * 40 * 4
    assert cut.macs == dense.macs
    assert tuned.macs == dense.macs + 3 * SIZE // 5 * 40 * 4
    assert (tuned.peak_density, tuned.r_itop, tuned.churn) == (1, 1, 0)


@pytest.mark.parametrize("trainer", [RandomPruning(), RigL(updates=Updates(every=2)), MagnitudeFinetuned()])
def test_the_seed_alone_decides_the_outcome(trainer):
    once, again, other = (trainer.with_seed(s).train(small_problem(), 0.2).model[0].weight for s in (3, 3, 4))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_training_learns():
    problem = small_problem(epochs=40)
    for trainer in (DenseTraining(), RigL(updates=Updates(every=10))):
        model = trainer.train(problem, 0.4).model
        assert (model(problem.inputs).argmax(1) == problem.labels).float().mean() > 0.9


def test_magnitudes_random_twin_keeps_as_many_in_each_layer_at_other_positions():
    own, twin = (m.train(small_problem(), 0.2).masks for m in (MagnitudeFinetuned(), MagnitudeFinetuned().random_twin()))
    assert {n: int(m.sum()) for n, m in own.items()} == {n: int(m.sum()) for n, m in twin.items()}
    assert not all(torch.equal(own[n], twin[n]) for n in own)


def test_the_random_twin_of_dynamic_training_is_the_static_mask_of_its_ratios():
    assert RigL(2.0, UniformPlus(), seed=5).random_twin() == RandomPruning(2.0, UniformPlus(), seed=5)
    assert SET(seed=5).uniform_twin() == RandomPruning(allocation=Uniform(), seed=5)


def test_neurons_that_stay_make_a_smaller_dense_network():
    trained = NeuronsFinetuned().train(small_problem(), 0.2)
    # 3 units: 6*3 + 3*3 + 3*2 = 33; 4 units: 24 + 16 + 8 = 48, which is what 0.2 of 240 asks for.
    assert active(trained.masks) == 48
    chain = links(trained.model, trained.masks)
    x = small_problem().inputs
    assert torch.allclose(forward(chain, "sliced")(x), trained.model(x), atol=1e-6)
    assert torch.equal(trained.masks["0"].any(1), trained.masks["2"].any(0))
    assert torch.equal(trained.masks["2"].any(1), trained.masks["4"].any(0))


def test_only_chains_can_lose_neurons():
    class Branches(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.left, self.right = nn.Linear(6, 2), nn.Linear(6, 2)

        def forward(self, x):
            return self.left(x) + self.right(x)

    problem = small_problem()
    branching = type(problem)(problem.inputs, problem.labels, Branches, 12, Recipe(epochs=1))
    with pytest.raises(ModelError, match="right does not read what left puts out"):
        NeuronsFinetuned().train(branching, 0.5)


@pytest.mark.parametrize(("weights", "below", "nearest"), [(48, 4, 4), (47, 3, 4), (34, 3, 3), (1, 1, 1), (999, 12, 12)])
def test_the_width_of_a_small_dense_network(weights, below, nearest):
    assert width_for(small_problem(), weights) == below
    assert width_for(small_problem(), weights, "nearest") == nearest


def test_a_small_dense_network_stays_below_the_budget():
    trained = SmallDense().train(small_problem(), 0.2)
    assert active(trained.masks) == 48
    assert trained.record.r_itop == 48 / SIZE


@settings(deadline=None)
@given(
    density=st.floats(0.01, 1),
    sides=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=5),
    allocation=st.sampled_from([ERK(), Uniform()]),
)
def test_layer_counts_sum_to_the_budget_and_fit_their_layers(density, sides, allocation):
    shapes = dict(enumerate(sides))
    counts = layer_counts(shapes, density, allocation)
    assert sum(counts.values()) == math.ceil(density * sum(map(math.prod, sides)) - 1e-6)
    shares = allocation.densities(shapes, density)
    assert all(0 <= counts[n] <= math.prod(s) and abs(counts[n] - shares[n] * math.prod(s)) < 1.01 for n, s in shapes.items())


def test_initial_weights_grow_as_inputs_are_taken_away():
    model = nn.Sequential(nn.Linear(400, 400))
    masks = random_masks(model, 0.25, Uniform(), 0)
    he_normal(model, masks, stream(0))
    assert float(model[0].weight.detach()[masks["0"]].std()) == pytest.approx(math.sqrt(2 / 100), rel=0.02)
    assert not model[0].weight[~masks["0"]].any()
    assert not model[0].bias.any()


@pytest.mark.parametrize("form", ["dense", "masked", "csr", "sliced"])
def test_a_chain_gives_the_same_in_every_form(form):
    trained = RandomPruning().train(small_problem(), 0.2)
    for link in links(trained.model, trained.masks)[:-1]:
        link.bias[~link.mask.any(1)] = 0  # what "sliced" asks for
    x = small_problem().inputs
    assert torch.allclose(forward(links(trained.model, trained.masks), form)(x), trained.model(x), atol=1e-6)


def test_other_modules_are_no_chain():
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
    with pytest.raises(ModelError, match="Tanh"):
        links(model, full(model))


@pytest.mark.parametrize(
    "slug",
    [
        "random-pruning",
        "set",
        "rigl",
        "magnitude-finetuned",
        "gradual-magnitude",
        "neurons-finetuned",
        "small-dense",
        "dense-training",
    ],
)
def test_methods_are_known_by_their_slugs(slug):
    assert method(slug).slug == slug


@pytest.mark.parametrize(
    ("trainer", "facts"),
    [
        (RandomPruning(), ("random", "before", False, False)),
        (SET(), ("method", "during", False, False)),
        (RigL(), ("method", "during", False, False)),
        (GradualMagnitude(), ("method", "during", False, False)),
        (MagnitudeFinetuned(), ("method", "after", True, True)),
        (MagnitudeFinetuned(extra=0.0), ("method", "after", False, True)),
        (DenseTraining(), ("dense", "before", False, False)),
    ],
)
def test_what_a_method_may_be_compared_by(trainer, facts):
    assert (trainer.kind, trainer.phase, trainer.needs_data, trainer.needs_pretrained) == facts


def test_stretching_lengthens_what_is_trained_sparsely():
    assert RigL().stretched(4.0).length == 4
    assert RigL(length=4.0).stretched(3.0).length == 4
    assert MagnitudeFinetuned(extra=0.5).stretched(4.0) == MagnitudeFinetuned(extra=2.0)
    assert MagnitudeFinetuned(allocation=Global(), extra=0.0).stretched(4.0).extra == 0


def test_the_rate_falls_at_a_half_and_at_three_quarters():
    rates = [Recipe().rate_at(step, 360) for step in (0, 179, 180, 269, 270, 359)]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005])


def test_positions_that_nothing_dropped_are_counted():
    static, moving, cut = (
        m.train(small_problem(), 0.2).record for m in (RandomPruning(), SET(updates=Updates(every=2)), MagnitudeFinetuned())
    )
    assert static.doc == static.r_itop == cut.doc == 0.2
    assert moving.doc < 0.2 < moving.r_itop
