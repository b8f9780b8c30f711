import copy
import math

import pytest
import torch
from small_models import KINDS, bert, cnn, floats, gpt2, llama, mlp, tokens
from torch import nn

from fewer.core import ERK, Density, Uniform, parse_pattern, select
from fewer.core.selection_file import load_selections, save_selections
from fewer.errors import BudgetError, CalibrationError, FewerError, MethodError, ModelError, PatternError, SelectionError
from fewer.weights.masks import apply, hold, release
from fewer.weights.methods import Magnitude, SparseGPT, Wanda
from fewer.weights.prune import prune


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("method", "mode"), [("wanda", "layer"), ("wanda", "block"), ("random:wanda", "layer"), ("magnitude", "layer")]
)
@pytest.mark.parametrize("kind", KINDS)
def test_methods_that_only_mask_keep_weights_bit_for_bit_and_the_density_exactly(kind, method, mode):
    model, batches = KINDS[kind][0](), KINDS[kind][1]()
    before = state(model)
    assert prune(model, method, calibration=batches, mode=mode, density=0.3) is model
    touched = {f"{name}.weight".lstrip(".") for name in model.fewer.selections}
    assert touched and all(
        torch.equal(v, before[n]) for n, v in state(model).items() if n not in touched and "lm_head" not in n
    )
    for name, selection in model.fewer.selections.items():
        weight, was = model.get_submodule(name).weight, before[f"{name}.weight".lstrip(".")]
        assert torch.equal(weight[selection.mask], was[selection.mask])
        assert bool((weight[~selection.mask] == 0).all())
        report = next(r for r in model.fewer.layers if r.name == name)
        out, width = report.shape
        assert selection.kept == out * Density(0.3).of(width)
        assert report.density == selection.density and report.seconds >= 0


@pytest.mark.parametrize("kind", KINDS)
def test_sparsegpt_leaves_zeros_where_nothing_is_kept_and_works_on_every_kind(kind):
    model, batches = KINDS[kind][0](), KINDS[kind][1]()
    prune(model, SparseGPT(damping=0.1), calibration=batches)
    for name, selection in model.fewer.selections.items():
        weight = model.get_submodule(name).weight
        assert bool((weight[~selection.mask] == 0).all()) and bool(weight.isfinite().all())


@pytest.mark.parametrize("pattern", ["row", "layer", "global", "2:4", "1:4", "block:2x4", "neuron", "column", "head:4"])
@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt", "random:sparsegpt"])
def test_every_score_goes_with_every_pattern(method, pattern):
    density = 0.25 if pattern == "1:4" else 0.5
    model = prune(llama(num_hidden_layers=1), method, calibration=tokens(3), pattern=pattern, density=density)
    assert model.fewer.selections.density == density
    if pattern != "global":
        for selection in model.fewer.selections.values():
            again = select(selection.mask.float(), parse_pattern(pattern), Density(density))
            assert torch.equal(again.mask, selection.mask)


def test_excluded_layers_are_left_alone():
    model = llama()
    before = state(model)
    prune(model, "wanda", calibration=tokens(), exclude="*.down_proj")
    assert len(model.fewer.selections) == 18
    for name, value in state(model).items():
        assert torch.equal(value, before[name]) == (f"{name}".removesuffix(".weight") not in model.fewer.selections)


def test_embeddings_are_pruned_when_asked_for_and_a_tied_head_with_them():
    model = prune(llama(), "magnitude", embeddings=True, density=0.5)
    assert model.fewer.selections["model.embed_tokens"].density == 0.5
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    assert float((model.lm_head.weight == 0).float().mean()) == 0.5


def test_the_mask_of_a_transposed_module_has_the_modules_own_shape():
    model = prune(gpt2(), "magnitude")
    module = model.transformer.h[0].mlp.c_fc
    mask = model.fewer.selections["transformer.h.0.mlp.c_fc"].mask
    assert mask.shape == module.weight.shape == (16, 64)
    assert torch.equal(mask, module.weight != 0) and bool((mask.sum(0) == 8).all())


@pytest.mark.parametrize("kind", ["llama", "cnn"])
@pytest.mark.parametrize("allocation", ["uniform", "erk", "global", "mass"])
def test_an_allocation_meets_the_total(kind, allocation):
    model, batches = KINDS[kind][0](), KINDS[kind][1]()
    prune(model, "wanda", calibration=batches, allocation=allocation, pattern="layer", density=0.4)
    selections = model.fewer.selections
    assert 0 <= selections.kept - 0.4 * selections.size <= len(selections)
    densities = [report.density for report in model.fewer.layers]
    assert (max(densities) - min(densities) > 0.03) == (allocation != "uniform")
    names = {"uniform": "Uniform", "erk": "ERK", "global": "Global", "mass": "ByMass"}
    assert model.fewer.configuration["allocation"] == names[allocation]


def test_erk_counts_the_sides_of_a_kernel():
    model = prune(cnn(), "magnitude", allocation="erk", pattern="layer", density=0.5)
    shapes = {n: tuple(model.get_submodule(n).weight.shape) for n in model.fewer.selections}
    for name, share in ERK().densities(shapes, 0.5).items():
        assert model.fewer.selections[name].kept == Density(share).of(math.prod(shapes[name]))


def test_a_global_pattern_pools_the_layers():
    model = mlp()
    model[0].weight.data.mul_(1e6)
    prune(model, "magnitude", pattern="global", density=0.5)
    selections = model.fewer.selections
    assert selections.kept == -(-selections.size // 2) and selections["0"].density == 1


def test_what_was_done_is_said():
    seen = []
    model = prune(llama(), "wanda", calibration=tokens(), density=0.4, progress=lambda done, total: seen.append((done, total)))
    said = model.fewer.configuration
    assert (said["method"], said["density"], said["pattern"], said["mode"], said["layers"]) == (
        "Wanda",
        0.4,
        "row",
        "layer",
        21,
    )
    assert said["calibration_batches"] == 5 and said["seed"] == 0 and said["allocation"] == "Uniform"
    assert seen == [(i + 1, 21) for i in range(21)]
    assert [r.name for r in model.fewer.layers] and model.fewer.seconds > 0


def test_a_watcher_sees_each_layer_before_and_after():
    model = mlp()
    before = state(model)
    watched = {}

    def watch(layer, seen, old, new, selection):
        watched[layer.name] = (old.clone(), new.clone(), selection)

    prune(model, "wanda", calibration=floats(4, 12), watch=watch)
    for name, (old, new, selection) in watched.items():
        assert torch.equal(old, before[f"{name}.weight"]) and torch.equal(new, old * selection.mask)
        assert torch.equal(new, model[int(name)].weight)


def test_pruning_again_starts_from_what_is_left():
    model = prune(mlp(), "magnitude", density=0.5)
    first = model.fewer.selections
    prune(model, "magnitude", density=0.25)
    for name, selection in model.fewer.selections.items():
        assert bool((first[name].mask | ~selection.mask).all())
    assert model.fewer.configuration["density"] == 0.25
    again = copy.deepcopy(model)
    assert same(state(prune(again, "magnitude", density=0.25)), state(model))


def test_a_held_mask_must_be_released_before_the_next_pruning():
    model = prune(mlp(), "magnitude")
    hold(model, model.fewer.selections)
    with pytest.raises(ModelError, match="computes its weight"):
        prune(model, "magnitude", density=0.25)
    prune(release(model), "magnitude", density=0.25)
    assert int((model[2].weight != 0).sum()) == 16 * 5


@pytest.mark.parametrize("method", ["random", "random:wanda", "random:sparsegpt"])
def test_a_seed_makes_a_random_pruning_repeatable(method):
    masks = [prune(llama(num_hidden_layers=2), method, calibration=tokens(3), seed=seed).fewer.selections for seed in (1, 1, 2)]
    assert masks[0].overlap(masks[1]) == 1 and masks[0].overlap(masks[2]) < 0.6
    assert masks[0]["model.layers.0.mlp.up_proj"].overlap(masks[0]["model.layers.1.mlp.up_proj"]) < 0.6


@pytest.mark.parametrize("method", ["wanda", "sparsegpt", "magnitude"])
@pytest.mark.parametrize("mode", ["layer", "block"])
def test_the_same_pruning_twice_is_the_same_to_the_bit(method, mode):
    assert same(*(state(prune(llama(num_hidden_layers=2), method, calibration=tokens(3), mode=mode)) for _ in range(2)))


def test_everything_kept_changes_nothing():
    for method in ("wanda", "magnitude", "random", "sparsegpt", "dense"):
        model = llama()
        before = state(model)
        assert same(state(prune(model, method, calibration=tokens(), density=1.0)), before)
    assert same(state(prune(llama(), "dense", density=0.5)), before)


def test_nothing_kept_leaves_zeros():
    model = prune(mlp(), "wanda", calibration=floats(4, 12), density=0.0)
    assert model.fewer.selections.kept == 0 and not model[2].weight.any()


def test_a_pruner_keeps_its_own_parameters():
    model = prune(llama(), SparseGPT(damping=0.2, seed=5), calibration=tokens(), pattern="2:4")
    assert model.fewer.configuration["damping"] == 0.2 and model.fewer.configuration["seed"] == 5


def test_half_precision_models_are_pruned_in_their_own_precision():
    model = llama().bfloat16()
    before = state(model)
    prune(model, "wanda", calibration=tokens())
    for name, selection in model.fewer.selections.items():
        weight = model.get_submodule(name).weight
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight[selection.mask], before[f"{name}.weight"][selection.mask])


@pytest.mark.parametrize(
    "calibration",
    [
        lambda: tokens(),
        lambda: list(tokens().split(1)),
        lambda: [{"input_ids": t} for t in tokens().split(1)],
        lambda: [(t,) for t in tokens().split(1)],
        lambda: {"input_ids": tokens(), "attention_mask": torch.ones_like(tokens())},
        lambda: [{"inputs_embeds": llama().model.embed_tokens(t).detach()} for t in tokens().split(1)],
    ],
)
def test_calibration_data_come_in_every_form_that_a_model_is_called_with(calibration):
    masks = prune(llama(), "wanda", calibration=calibration()).fewer.selections
    assert masks.overlap(prune(llama(), "wanda", calibration=tokens()).fewer.selections) > 0.999


def nan_weight():
    model = llama()
    model.model.layers[1].mlp.up_proj.weight.data[0, 0] = math.nan
    return model


def grouped():
    return nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=2))


def nan_embedding():
    model = llama()
    model.model.embed_tokens.weight.data[:, 0] = math.nan
    return model


@pytest.mark.parametrize(
    ("error", "says", "make", "arguments"),
    [
        (MethodError, 'did you mean "wanda"', llama, {"pruner": "wandda"}),
        (MethodError, "does not prune the weights", llama, {"pruner": 3}),
        (PatternError, "2:4 needs a width that 4 divides.*0 has 6", lambda: nn.Sequential(nn.Linear(6, 4)), {"pattern": "2:4"}),
        (PatternError, 'pattern "2;4" is unknown', llama, {"pattern": "2;4"}),
        (PatternError, "needs a matrix whose sides", llama, {"pattern": "block:5x5"}),
        (BudgetError, r"must lie in \[0, 1\], not -0.1", llama, {"density": -0.1}),
        (BudgetError, r"must lie in \[0, 1\], not 1.5", llama, {"density": 1.5}),
        (BudgetError, "2:4 keeps 0.5 of the weights by itself", llama, {"pattern": "2:4", "density": 0.3}),
        (BudgetError, "cannot be met", llama, {"allocation": "uniform+", "density": 0.01}),
        (BudgetError, "allowed: uniform, ", llama, {"allocation": "owl"}),
        (ModelError, 'allocation="erk" contradicts', llama, {"pattern": "2:4", "allocation": "erk"}),
        (ModelError, "layers.1.mlp.up_proj has 1 weights that are NaN", nan_weight, {}),
        (CalibrationError, "q_proj is NaN or infinite on the calibration data", nan_embedding, {}),
        (CalibrationError, "batch 1 holds NaN", mlp, {"calibration": [torch.ones(2, 12), torch.full((2, 12), math.nan)]}),
        (CalibrationError, "batch 0 holds NaN", llama, {"calibration": [{"inputs_embeds": torch.full((1, 2, 16), math.inf)}]}),
        (CalibrationError, "needs calibration data and got none", llama, {"calibration": None}),
        (CalibrationError, "needs calibration data and got none", llama, {"calibration": []}),
        (CalibrationError, "needs calibration data and got none", llama, {"calibration": torch.zeros(0, 5)}),
        (CalibrationError, r"not of shape \(7,\). One sequence is x\[None\]", llama, {"calibration": tokens()[0]}),
        (ModelError, "no prunable layer is left", llama, {"exclude": ["*"]}),
        (ModelError, "it has no linear or convolution layer", nn.ReLU, {}),
        (PatternError, "embed_tokens is an embedding", llama, {"embeddings": True}),
        (PatternError, "1 is a convolution in 2 groups", grouped, {"calibration": floats(1, 4, 9, 9)}),
    ],
)
@pytest.mark.parametrize("mode", ["layer", "block"])
def test_what_is_refused_is_refused_before_anything_is_changed(error, says, make, arguments, mode):
    model = make()
    before = state(model)
    arguments = {"pruner": "wanda", "calibration": tokens(), "mode": mode, **arguments}
    with pytest.raises(error, match=says) as caught:
        prune(model, **arguments)
    assert isinstance(caught.value, FewerError)
    after = state(model)
    assert all(torch.equal(after[n].nan_to_num(), before[n].nan_to_num()) for n in before)
    assert not hasattr(model, "fewer")


def test_selections_of_another_model_are_refused():
    selections = prune(llama(hidden_size=32), "magnitude").fewer.selections
    for put in (apply, hold):
        model = llama()
        before = state(model)
        with pytest.raises(SelectionError, match=r"has shape .* made for another model"):
            put(model, selections)
        assert same(state(model), before)
        with pytest.raises(SelectionError, match=r"the model has no module model\.layers"):
            put(mlp(), selections)


def test_selections_survive_the_disk(tmp_path):
    model = prune(bert(), Magnitude(), density=0.3)
    again = load_selections(save_selections(model.fewer.selections, tmp_path / "s"))
    assert again.overlap(model.fewer.selections) == 1
    fresh = apply(bert(), again)
    assert same(state(fresh), state(model))


def test_gradients_and_inference_mode_of_the_caller_do_not_matter():
    expected = prune(llama(), Wanda(), calibration=tokens(), allocation=Uniform()).fewer.selections
    with torch.inference_mode():
        calibration = tokens().clone()
    assert prune(llama(), Wanda(), calibration=calibration).fewer.selections.overlap(expected) == 1
