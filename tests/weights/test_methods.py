"""The post-training methods against independent computations."""

import copy
import math

import pytest
import torch
from small_models import floats, llama, mlp, tokens
from torch import nn

import fewer.data.models as models
from fewer.core import NM, Density, Rows, Slices, Unstructured, noise, parse_pattern
from fewer.errors import CalibrationError
from fewer.weights.gradients import gather_gradients
from fewer.weights.layers import find_layers
from fewer.weights.methods import Dense, Magnitude, Random, Snip, SparseGPT, Wanda
from fewer.weights.prune import prune
from fewer.weights.seen import Hessian, InputNorm, Seen


def inputs_of(model, names, batches):
    """The inputs of linear layers on `batches`, [tokens, in] each, by plain hooks."""
    rows = {name: [] for name in names}
    hooks = [
        model.get_submodule(n).register_forward_pre_hook(lambda _, args, n=n: rows[n].append(args[0].flatten(0, -2)))
        for n in names
    ]
    with torch.no_grad():
        for batch in batches:
            model(batch)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts).double() for name, parts in rows.items()}


def assert_wanda(weight, x, mask, density):
    """`mask` keeps the ceil(density * in) largest |W| * ||x|| of each row, where scores differ enough to tell."""
    scores = weight.double().abs() * x.norm(dim=0)
    count = math.ceil(round(density * weight.shape[1], 6))
    threshold = scores.sort(dim=1, descending=True).values[:, count - 1 : count]
    decided = (scores - threshold).abs() > 1e-6 * threshold
    assert bool((mask.sum(1) == count).all())
    assert torch.equal(mask[decided], (scores > threshold)[decided])
    assert int((~decided).sum()) <= 1.01 * len(mask) + 1  # one of each row is the threshold itself


def check_wanda(model, batches, density, mode, blocks):
    dense = copy.deepcopy(model)
    include = [f"{block}.*" for block in blocks]
    pruned = prune(model, Wanda(), density=density, calibration=batches, mode=mode, include=include)
    names = list(pruned.fewer.selections)
    assert len(names) == 7 * len(blocks)
    if mode == "layer":
        xs = inputs_of(pruned, names, batches)
    else:
        xs, partly = {}, copy.deepcopy(dense)
        for block in blocks:
            mine = [n for n in names if n.startswith(f"{block}.")]
            xs |= inputs_of(partly, mine, batches)
            for n in mine:
                partly.get_submodule(n).weight.data.copy_(pruned.get_submodule(n).weight)
    for name in names:
        before, after = dense.get_submodule(name).weight, pruned.get_submodule(name).weight
        mask = pruned.fewer.selections[name].mask
        assert_wanda(before.detach(), xs[name], mask, density)
        assert torch.equal(after, before * mask)


@pytest.mark.parametrize("mode", ["layer", "block"])
@pytest.mark.parametrize("density", [0.5, 0.3, 0.05])
def test_wanda_keeps_what_ten_independent_lines_keep(mode, density):
    check_wanda(llama(), list(tokens(6, 9).split(1)), density, mode, [f"model.layers.{i}" for i in range(3)])


@pytest.mark.parametrize("mode", ["layer", "block"])
def test_wanda_keeps_what_ten_independent_lines_keep_of_a_real_model(mode):
    if not models.is_available("smollm2-135m"):
        pytest.skip("SmolLM2 cannot be had here")
    model, tokenizer = models.load_causal_lm("smollm2-135m")
    model.model.layers = model.model.layers[:2]
    text = "Sparsity keeps what matters and drops the rest; which is which, the inputs say. " * 8
    batches = list(tokenizer(text, return_tensors="pt").input_ids[:, :128].reshape(2, -1).split(1))
    check_wanda(model, batches, 0.5, mode, ["model.layers.0", "model.layers.1"])


def correlated(tokens, width, seed):
    mixing = torch.randn(width, width, generator=torch.Generator().manual_seed(seed)) / width**0.5
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed + 1)) @ (mixing + 0.3)


def straightforward(weight, x, choose, step, damping=0.01):
    """SparseGPT column by column in double precision, by eliminating one input after the other from the inverse Hessian."""
    H = 2 / len(x) * x.double().t() @ x.double()
    H += damping * H.diagonal().mean() * torch.eye(len(H))
    inverse, rows = torch.linalg.inv(H), []
    for j in range(len(H)):
        rows.append(inverse[j].clone())
        inverse = inverse - torch.outer(inverse[:, j], inverse[j]) / inverse[j, j]
    W, mask = weight.double().clone(), torch.ones(weight.shape, dtype=torch.bool)
    for j in range(len(H)):
        if j % step == 0:
            stop = min(j + step, len(H))
            saliency = W[:, j:stop].square() / torch.tensor([float(rows[k][k]) for k in range(j, stop)])
            mask[:, j:stop] = choose(saliency, j, stop)
        error = W[:, j].masked_fill(mask[:, j], 0) / rows[j][j]
        W[:, j:] -= torch.outer(error, rows[j][j:])
    return W, mask


def best_of_rows(count):
    def choose(saliency, start, stop):
        order = saliency.sort(dim=1, descending=True, stable=True).indices[:, : count(saliency.shape[1], start, stop)]
        return torch.zeros(saliency.shape, dtype=torch.bool).scatter(1, order, True)

    return choose


def best_of_all(count):
    def choose(saliency, start, stop):
        return best_of_rows(count)(saliency.reshape(1, -1), start, stop).reshape(saliency.shape)

    return choose


def output_error(x, change):
    return float((x.double() @ change.double().t()).square().sum() / len(x))


OUT, WIDTH = 24, 176
SHARED = {
    # What the whole matrix may keep is spent in step with the columns.
    "row": (Rows(), best_of_rows(lambda _, a, b: 88 * b // WIDTH - 88 * a // WIDTH), 128),
    "layer": (Unstructured(), best_of_all(lambda _, a, b: 12 * WIDTH * b // WIDTH - 12 * WIDTH * a // WIDTH), 128),
    "2:4": (NM(2, 4), best_of_rows(lambda *_: 2), 4),
}


@pytest.mark.parametrize("seed", [0, 10])
@pytest.mark.parametrize("kind", SHARED)
def test_sparsegpts_layer_error_is_at_most_an_independent_ones_and_never_above_wandas(kind, seed):
    pattern, choose, step = SHARED[kind]
    x, weight = correlated(600, WIDTH, seed), noise((OUT, WIDTH), seed, "w") - 0.5
    hessian, norm = Hessian("a", WIDTH), InputNorm("a", WIDTH)
    hessian.update(x), norm.update(x)
    ours = SparseGPT(pattern=pattern).prune(weight, hessian, Density(0.5))
    theirs, mask = straightforward(weight, x, choose, step)
    wanda = Wanda(pattern=pattern).prune(weight, norm, Density(0.5))
    assert ours.selection.kept == int(mask.sum()) == wanda.selection.kept == OUT * WIDTH // 2
    assert float((ours.selection.mask == mask).float().mean()) > 0.99
    error = output_error(x, ours.weight - weight)
    assert error == pytest.approx(hessian.error(ours.weight - weight), rel=1e-3)
    assert error <= 1.001 * output_error(x, theirs - weight)
    assert error <= output_error(x, wanda.weight - weight)


@pytest.mark.parametrize("pattern", ["row", "2:4", "block:2x2", "neuron"])
def test_sparsegpts_error_lies_between_the_optimum_for_its_mask_and_the_mask_alone(pattern):
    x, weight = correlated(80, 12, 3), noise((6, 12), 0, "w") - 0.5
    hessian = Hessian("a", 12)
    hessian.update(x)
    pruned = SparseGPT(pattern=parse_pattern(pattern), block=4).prune(weight, hessian, Density(0.5))
    mask = pruned.selection.mask
    optimum = torch.zeros(6, 12, dtype=torch.float64)
    for r in range(6):
        target = x.double() @ weight[r].double()
        if mask[r].any():
            optimum[r, mask[r]] = torch.linalg.lstsq(x.double()[:, mask[r]], target).solution
    error = output_error(x, pruned.weight - weight)
    assert bool((pruned.weight[~mask] == 0).all())
    assert output_error(x, optimum - weight) <= error * (1 + 1e-6)
    assert error <= output_error(x, weight * mask - weight) * (1 + 1e-6)


@pytest.mark.parametrize("width", [1, 3, 17, 129])
@pytest.mark.parametrize("density", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("scope", ["row", "layer"])
def test_sparsegpt_keeps_exactly_its_budget_over_any_number_of_blocks(width, density, scope):
    hessian = Hessian("a", width)
    hessian.update(correlated(40, width, 0))
    weight = noise((5, width), 0) - 0.5
    selection = SparseGPT(pattern=Unstructured(scope), block=7).prune(weight, hessian, Density(density)).selection
    units, members = (5, width) if scope == "row" else (1, 5 * width)
    assert bool((selection.mask.reshape(units, members).sum(1) == Density(density).of(members)).all())


def test_sparsegpt_without_its_update_only_selects():
    x, weight = correlated(80, 12, 3), noise((6, 12), 0, "w") - 0.5
    hessian = Hessian("a", 12)
    hessian.update(x)
    pruned = SparseGPT(update=False).prune(weight, hessian, Density(0.5))
    assert torch.equal(pruned.weight, weight * pruned.selection.mask)


def test_sparsegpt_leaves_the_given_weights_alone_and_survives_dead_inputs():
    x, weight = correlated(80, 12, 3), noise((6, 12), 0, "w") - 0.5
    x[:, 4] = 0
    hessian = Hessian("a", 12)
    hessian.update(x)
    before = weight.clone()
    pruned = SparseGPT().prune(weight, hessian, Density(0.5))
    assert torch.equal(weight, before) and bool(pruned.weight.isfinite().all()) and bool((pruned.weight[:, 4] == 0).all())


def test_sparsegpt_says_when_more_tokens_are_needed():
    with pytest.raises(CalibrationError, match="Calibrate on more tokens, or raise damping"):
        prune(mlp(), SparseGPT(damping=0.0), calibration=floats(1, 12, batches=1))


def test_magnitude_and_wanda_score_as_their_formulas_say():
    weight, norm = torch.tensor([[3.0, -4.0], [0.5, 2.0]]), InputNorm("a", 2)
    norm.update(torch.tensor([[3.0, 1.0], [4.0, 0.0]]))
    assert Magnitude().score(weight, Seen("a", 2)).tolist() == [[3, 4], [0.5, 2]]
    assert Wanda().score(weight, norm).tolist() == [[15, 4], [2.5, 2]]
    assert weight.tolist() == [[3, -4], [0.5, 2]]


def test_random_scores_depend_on_seed_and_layer_alone():
    weight = torch.ones(4, 6)
    scores = Random(seed=1).score(weight, Seen("a", 6))
    assert torch.equal(scores, Random(seed=1).score(weight * 5, Seen("a", 6)))
    assert not torch.equal(scores, Random(seed=2).score(weight, Seen("a", 6)))
    assert not torch.equal(scores, Random(seed=1).score(weight, Seen("b", 6)))


@pytest.mark.parametrize("pattern", [Rows(), NM(2, 4), Slices(0)])
def test_dense_keeps_everything_whatever_the_budget(pattern):
    weight = noise((4, 8), 0)
    pruned = Dense(pattern=pattern).prune(weight, Seen("a", 8), Density(0.5))
    assert torch.equal(pruned.weight, weight) and pruned.selection.density == 1


def squared(model, batch):
    return model(batch).square().mean()


def test_snip_scores_by_weight_times_gradient_of_the_summed_loss():
    model, batches = mlp(), floats(4, 12)
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    total = sum(squared(model, b) for b in batches)
    expected = torch.autograd.grad(total, [model[0].weight, model[2].weight, model[5].weight])
    layers = find_layers(model)
    gathered = gather_gradients(model, layers, batches, squared)
    for name, gradient in zip(("0", "2", "5"), expected, strict=True):
        torch.testing.assert_close(gathered[name].gradient, gradient)
        scores = Snip().score(layers[name].matrix(), gathered[name])
        torch.testing.assert_close(scores, (weights[f"{name}.weight"] * gradient).abs())


def test_gathering_gradients_leaves_gradients_and_states_as_they_were():
    model = mlp().train()
    model[3].eval()
    model[0].bias.requires_grad_(False)
    squared(model, torch.ones(2, 12)).backward()
    before = {n: (p.requires_grad, None if p.grad is None else p.grad.clone()) for n, p in model.named_parameters()}
    gather_gradients(model, find_layers(model), floats(4, 12), squared)
    for n, p in model.named_parameters():
        assert p.requires_grad == before[n][0]
        assert (p.grad is None) == (before[n][1] is None) and (p.grad is None or torch.equal(p.grad, before[n][1]))
    assert [m.training for m in model] == [True, True, True, False, True, True]


def test_gradients_are_gathered_also_where_they_are_switched_off():
    with torch.no_grad():
        assert prune(mlp(), "snip", calibration=floats(4, 12), loss=squared).fewer.selections.density == 0.5


def test_snip_uses_a_language_models_own_loss():
    pruned = prune(llama(), "snip", calibration=tokens(), density=0.5)
    assert pruned.fewer.selections.density == 0.5


def test_a_loss_that_cannot_be_used_is_refused():
    with pytest.raises(CalibrationError, match="needs a loss"):
        prune(mlp(), "snip", calibration=floats(4, 12))
    with pytest.raises(CalibrationError, match="the loss on the calibration data is nan"):
        prune(mlp(), "snip", calibration=floats(4, 12), loss=lambda m, b: m(b).sum() * float("nan"))
    with pytest.raises(CalibrationError, match="does not depend on 2"):
        prune(mlp(), "snip", calibration=floats(4, 12), loss=lambda m, b: m[0](b).sum())


@pytest.mark.parametrize("kind", [nn.Linear, nn.Conv1d])
def test_every_method_runs_on_a_single_layer(kind):
    for method in ("magnitude", "random", "wanda", "sparsegpt", "random:sparsegpt"):
        model = nn.Linear(6, 4) if kind is nn.Linear else nn.Conv1d(6, 4, 1)
        x = torch.randn(2, 30, 6) if kind is nn.Linear else torch.randn(2, 6, 30)
        assert prune(model, method, calibration=[x], density=0.5).fewer.selections.density == 0.5
