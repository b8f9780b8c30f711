import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import relu
from torch.utils.flop_counter import FlopCounterMode

import fewer
from fewer.errors import BudgetError, FewerError, MethodError, ModelError, PatternError
from fewer.measure.flops import count
from fewer.weights.iso_flop.accounting import step_times
from fewer.weights.iso_flop.doped import Doped
from fewer.weights.iso_flop.factorized import Factorized
from fewer.weights.iso_flop.parallel import Parallel
from fewer.weights.networks import CifarResNet
from fewer.weights.training.moment import active

KINDS = ["wide", "parallel", "factorized", "doped"]
IN_PLACE = KINDS[1:]


def perceptron(*sides: int) -> nn.Sequential:
    layers = [module for a, b in pairwise(sides) for module in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def convolutions(bias: bool = True, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=bias), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Conv2d(8, 12, 3, stride=stride, padding=1, bias=bias),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, dilation=2, padding=2, padding_mode="circular"),
        nn.MaxPool2d(2),
        nn.Dropout(0.1),
        nn.Flatten(),
        nn.Linear(12 * (8 // stride // 2) ** 2, 5),
    )


IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=25)
@given(
    sides=st.lists(st.integers(12, 40), min_size=3, max_size=5),
    sparsity=st.floats(0.34, 0.9),
    allocation=st.sampled_from([None, "uniform"]),
    seed=st.integers(0, 9),
)
def test_multiply_adds_and_non_zeros_are_those_of_the_dense_network(kind, sides, sparsity, allocation, seed):
    dense = perceptron(*sides)
    size = sum(a * b for a, b in pairwise(sides))
    model, masks, report = fewer.iso_flop(dense, kind, sparsity, dense=(), allocation=allocation, seed=seed)
    assert active(masks) == report.active_weights == report.macs == report.dense_macs == report.dense_weights == size
    assert sum(int((module.weight != 0).sum()) for module in model.modules() if isinstance(module, nn.Linear)) == size
    if allocation is None:
        assert all(layer.ratio == 1 for layer in report.layers)
    assert model(torch.ones(2, sides[0])).shape == (2, sides[-1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("allocation", [None, "uniform", "erk"])
@pytest.mark.parametrize("sparsity", [0.5, 0.75])
def test_convolutions_cost_as_much_as_before_by_the_flop_counter(kind, allocation, sparsity):
    dense = count(convolutions(), IMAGES)
    model, masks, report = fewer.iso_flop(convolutions(), kind, sparsity, inputs=IMAGES, allocation=allocation)
    counted = count(model, IMAGES, masks=masks)
    assert (counted.active, counted.dense, dense.dense) == (2 * report.macs, 2 * report.executed_macs, 2 * report.dense_macs)
    assert 0.999 <= report.ratio <= 1
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(IMAGES)
    assert counter.get_total_flops() == 2 * report.executed_macs
    if allocation is None and kind != "wide":
        assert all(layer.ratio == 1 for layer in report.layers)


@pytest.mark.parametrize("kind", IN_PLACE)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_inputs_and_outputs_keep_their_shapes(kind, bias, stride):
    dense = convolutions(bias, stride)
    shapes = [tuple(dense[:place](IMAGES).shape) for place in range(1, 9)]
    model = fewer.iso_flop(copy.deepcopy(dense), kind, 0.75, inputs=IMAGES).model
    assert [tuple(model[:place](IMAGES).shape) for place in range(1, 9)] == shapes
    assert type(model[0][0]) is nn.Conv2d and type(model[7]) is nn.Linear and type(model[1]) is not nn.Conv2d


def test_a_single_layer_may_be_the_whole_model():
    layer = nn.Linear(20, 30)
    model = fewer.iso_flop(layer, "parallel", 0.75, dense=()).model
    assert isinstance(model, Parallel) and len(model.branches) == 4
    assert model(torch.ones(3, 20)).shape == (3, 30)


def test_residual_networks_are_transformed_in_place_and_widened_by_their_function():
    def build(width):
        return CifarResNet(8).build(width, (3, 8, 8), 10)

    for model, kind, options in ((build(8), "parallel", {}), (build(8), "doped", {}), (build, "wide", {"width": 8})):
        result = fewer.iso_flop(model, kind, 0.75, inputs=IMAGES, **options)
        assert 0.999 <= result.report.ratio <= 1
        assert result.model(IMAGES).shape == (2, 10)


def test_sparse_parallel_is_the_sum_of_its_branches():
    layer = nn.Linear(6, 4)
    made = Parallel(layer, 3, nn.ReLU(), norm=False)
    x = torch.randn(5, 6)
    assert torch.allclose(made(x), sum(relu(branch(x)) for branch in made.branches))
    one = Parallel(layer, 1, nn.Identity(), norm=False)
    one.branches[0].load_state_dict(layer.state_dict())
    assert torch.equal(one(x), layer(x))


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Conv2d(6, 4, 3, stride=2, padding=1)])
def test_linear_factors_and_doped_ranks_contain_the_plain_layer(layer):
    x = torch.randn(5, 6) if isinstance(layer, nn.Linear) else torch.randn(2, 6, 8, 8)
    factors = Factorized(layer, 4, nn.Identity(), norm=False, sparse_v=True)
    factors.u.load_state_dict({"weight": layer.weight})
    factors.v.load_state_dict({"weight": torch.eye(4).reshape(factors.v.weight.shape), "bias": layer.bias})
    assert torch.allclose(factors(x), layer(x), atol=1e-6)
    doped = Doped(layer, 2)
    doped.w.load_state_dict({"weight": layer.weight})
    doped.v.load_state_dict({"weight": torch.zeros_like(doped.v.weight), "bias": layer.bias})
    assert torch.allclose(doped(x), layer(x), atol=1e-6)


@pytest.mark.parametrize("kind", ["wide", "parallel", "doped"])
def test_sparsity_0_leaves_the_network_as_it_is(kind):
    dense = perceptron(12, 20, 16, 5)
    before = copy.deepcopy(dense)
    model, masks, report = fewer.iso_flop(dense, kind, 0, dense=())
    assert torch.equal(model(torch.ones(2, 12)), before(torch.ones(2, 12)))
    assert all(mask.all() for mask in masks.values()) and report.executed_macs == report.dense_macs


def test_factors_at_sparsity_0_are_two_nearly_dense_ones():
    result = fewer.iso_flop(nn.Linear(40, 60), "factorized", 0, dense=())
    assert result.model.u.out_features == 24  # 40 * 60 / (40 + 60)
    assert all(mask.all() for mask in result.masks.values())


def test_the_second_factor_may_stay_dense():
    result = fewer.iso_flop(nn.Linear(40, 60), "factorized", 0.75, dense=(), sparse_v=False)
    assert result.model.u.out_features == 35  # ceil(2400 / (0.25 * 40 + 60))
    assert result.masks["v"].all() and result.report.ratio == 1
    assert int(result.masks["u"].sum()) == 2400 - 35 * 60


def test_nonlinearity_and_norm_are_where_the_authors_have_them():
    made = fewer.iso_flop(convolutions(), "factorized", 0.5, inputs=IMAGES).model[1]
    assert (type(made.norm), type(made.nonlinearity)) == (nn.BatchNorm2d, nn.ReLU) and made.u.stride == (2, 2)
    assert made.v.kernel_size == (1, 1)
    made = fewer.iso_flop(convolutions(), "parallel", 0.5, inputs=IMAGES).model[1]
    assert (type(made.norms[0]), type(made.nonlinearity)) == (nn.BatchNorm2d, nn.Identity)
    made = fewer.iso_flop(perceptron(12, 20, 5), "parallel", 0.5, dense=("last",)).model[0]
    assert (type(made.norms[0]), type(made.nonlinearity)) == (nn.Identity, nn.ReLU)
    made = fewer.iso_flop(convolutions(), "parallel", 0.5, inputs=IMAGES, norm=False, nonlinearity="gelu").model[1]
    assert (type(made.norms[0]), type(made.nonlinearity)) == (nn.Identity, nn.GELU)


def test_a_chain_is_rewired_through_norms_pooling_and_flattening():
    model = fewer.iso_flop(convolutions(), "wide", 0.75, inputs=IMAGES).model
    assert (model[0][0].in_channels, model[0][0].out_channels, model[0][1].num_features) == (3, 16, 16)
    assert (model[3].in_channels, model[3].out_channels, model[3].dilation, model[3].padding_mode) == (
        24,
        24,
        (2, 2),
        "circular",
    )
    assert (model[7].in_features, model[7].out_features) == (24 * 4, 5)


def test_ends_of_a_wide_network_that_stay_dense_are_paid_for_by_the_rest():
    _, masks, report = fewer.iso_flop(convolutions(), "wide", 0.75, inputs=IMAGES)
    first, *inner, last = report.layers
    assert masks["0.0"].all() and masks["7"].all() and first.ratio > 1 < last.ratio
    assert all(layer.ratio < 1 for layer in inner) and report.macs == report.dense_macs


def test_the_seed_decides_masks_and_weights():
    one, again, other = (fewer.iso_flop(perceptron(12, 20, 16, 5), "wide", 0.75, dense=(), seed=s) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), again.model.parameters(), strict=True))
    assert not torch.equal(one.masks["0"], other.masks["0"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_signal_keeps_its_size_at_any_density(kind):
    x = torch.randn(64, 300, generator=torch.Generator().manual_seed(0))
    for sparsity in (0.5, 0.9):
        model = fewer.iso_flop(perceptron(300, 200, 200, 200), kind, sparsity, dense=(), nonlinearity=None).model
        assert 0.5 < float(model(x).detach().std()) < 6


def test_the_authors_initialisation_knows_no_density():
    model, masks, _ = fewer.iso_flop(nn.Linear(400, 400), "doped", 0.75, dense=(), init="kaiming")
    assert float(model.w.weight.detach()[masks["w"]].std()) == pytest.approx((2 / 400) ** 0.5, rel=0.02)


def test_layers_left_out_keep_their_weights():
    dense = perceptron(12, 20, 16, 5)
    kept = dense[2].weight.clone()
    model, masks, report = fewer.iso_flop(dense, "parallel", 0.75, dense=(), exclude="2")
    assert torch.equal(model[2].weight, kept) and masks["2"].all()
    assert [type(model[place]).__name__ for place in (0, 2, 4)] == ["Parallel", "Linear", "Parallel"] and report.ratio == 1


def test_a_layer_used_in_two_places_is_replaced_in_both():
    shared = nn.Linear(20, 20)
    model = nn.Sequential(nn.Linear(12, 20), shared, nn.ReLU(), shared, nn.Linear(20, 5))
    model, _, report = fewer.iso_flop(model, "parallel", 0.75, inputs=torch.ones(1, 12))
    assert model[1] is model[3] and isinstance(model[1], Parallel)
    assert report.layers[1].dense == 2 * 400 == report.layers[1].active


def test_what_grows_beside_the_multiply_adds_is_said():
    report = fewer.iso_flop(perceptron(12, 20, 16, 5), "wide", 0.75, dense=(), inputs=torch.ones(1, 12)).report
    assert (report.outside_dense.parameters, report.outside.parameters) == (20 + 16 + 5, 40 + 32 + 5)
    assert (report.outside_dense.activations, report.outside.activations) == (2 * 36 + 5, 2 * 72 + 5)
    assert "biases and norms: 41 -> 77 parameters" in str(report) and "1.0000" in str(report)


def test_the_time_of_a_step_is_measured_and_leaves_no_gradients():
    dense = perceptron(12, 20, 16, 5)
    wide = fewer.iso_flop(copy.deepcopy(dense), "wide", 0.75, dense=()).model
    times = step_times({"dense": dense, "wide": wide}, torch.ones(4, 12), repeats=3)
    assert set(times) == {"dense", "wide"} and all(time.median > 0 for time in times.values())
    assert all(p.grad is None for p in wide.parameters())


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(20, 20)

    def forward(self, x):
        return x + self.inner(x)


REFUSED = [
    (lambda: perceptron(12, 20, 16, 5), {"sparsity": 1.0}, BudgetError, r"\[0, 1\), not 1.0"),
    (lambda: perceptron(12, 20, 16, 5), {"sparsity": -0.1}, BudgetError, "not -0.1"),
    (lambda: perceptron(12, 20, 16, 5), {"sparsity": float("nan")}, BudgetError, "not nan"),
    (lambda: perceptron(12, 20, 16, 5), {"kind": "thick"}, MethodError, "'thick' is unknown; allowed: wide, parallel"),
    (lambda: perceptron(12, 20, 16, 5), {"nonlinearity": "sine"}, MethodError, "allowed: relu, gelu, none"),
    (lambda: perceptron(12, 20, 16, 5), {"kind": "doped", "nonlinearity": "relu"}, MethodError, "no place for a nonlinearity"),
    (lambda: perceptron(12, 20, 16, 5), {"dense": ("middle",)}, MethodError, "allowed: first, last"),
    (lambda: perceptron(12, 20, 16, 5), {"init": "zeros"}, MethodError, "allowed: sparse, kaiming"),
    (lambda: perceptron(12, 20, 16, 5), {"allocation": "erk-erk"}, BudgetError, "erk-erk"),
    (lambda: perceptron(12, 20, 16, 5), {"sparsity": 0.2}, BudgetError, "at least 1/3"),
    (lambda: perceptron(12, 20, 16, 5), {"width": 20}, ModelError, "widths already"),
    (lambda: Parallel(nn.Linear(12, 5), 2, nn.ReLU(), norm=False), {}, ModelError, "the model is transformed already"),
    (lambda: perceptron(12, 5), {"dense": ("first", "last")}, ModelError, "no layer is left"),
    (lambda: perceptron(12, 20, 2, 1), {"kind": "doped", "sparsity": 0.34}, ModelError, r"2 \[2, 20\] is too small.*rank 0"),
    (lambda: perceptron(12, 20, 2, 1), {"sparsity": 0.9}, ModelError, "4 is too small: 2 active weights for 10 sparse parts"),
    (lambda: nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), {"inputs": torch.ones(1, 4, 5, 5)}, PatternError, "2 groups"),
    (lambda: nn.Sequential(nn.Conv2d(4, 4, 3)), {}, ModelError, "pass inputs="),
    (lambda: nn.Sequential(nn.Conv1d(4, 4, 3)), {"inputs": torch.ones(1, 4, 5)}, ModelError, "0 is a Conv1d"),
    (lambda: nn.MultiheadAttention(8, 2), {"inputs": (torch.ones(1, 3, 8),) * 3}, ModelError, "out_proj is a NonDynamic"),
    (lambda: nn.Sequential(perceptron(12, 20), Residual(), nn.Linear(20, 5)), {"kind": "wide"}, ModelError, "1 is a Residual"),
    (lambda: nn.Sequential(perceptron(12, 20), nn.LayerNorm(20), nn.Linear(20, 5)), {"kind": "wide"}, ModelError, "LayerNorm"),
    (lambda: nn.Sequential(nn.Linear(12, 12)), {"kind": "wide"}, ModelError, "the chain has 1"),
    (lambda: nn.Sequential(*[nn.Linear(12, 12)] * 2), {"kind": "wide"}, ModelError, "in two places"),
    (
        lambda: perceptron(12, 20, 16, 5),
        {"kind": "wide", "dense": ("first", "last")},
        BudgetError,
        r"nothing is left.*dense=\(\)",
    ),
]


@pytest.mark.parametrize(("build", "options", "error", "says"), REFUSED)
def test_what_cannot_be_done_is_refused_before_anything_is_changed(build, options, error, says):
    model = build()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=says) as raised:
        fewer.iso_flop(model, **{"kind": "parallel", "sparsity": 0.75, "dense": (), **options})
    assert isinstance(raised.value, FewerError)
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("build", "options", "says"),
    [
        ("perceptron", {"width": 20}, "not 'perceptron'"),
        (lambda width: perceptron(12, 20, 5), {"width": 20}, "must use its argument"),
        (lambda width: perceptron(*[12] * (width // 10), 5), {"width": 20}, "differ in their layers"),
        (lambda width: perceptron(12, width, 5), {}, "needs the dense width"),
        (lambda width: perceptron(12, width, 5), {"width": 8, "kind": "doped"}, 'only "wide" takes a function'),
    ],
)
def test_functions_that_do_not_build_wider_networks_are_refused(build, options, says):
    with pytest.raises(ModelError, match=says):
        fewer.iso_flop(build, **{"kind": "wide", "sparsity": 0.75, "dense": (), **options})


def test_layers_that_the_inputs_do_not_reach_are_refused():
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(12, 5), nn.Linear(12, 5)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ModelError, match="idle does not run"):
        fewer.iso_flop(Idle(), "parallel", 0.75, dense=(), inputs=torch.ones(1, 12))
