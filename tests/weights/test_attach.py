import math

import pytest
import torch
from small_models import cnn, gpt2, llama, mlp, tokens
from torch import nn
from torch.nn.functional import cross_entropy

import fewer
from fewer.core import Constant, Cubic, Density, Linear
from fewer.errors import BudgetError, MethodError, ModelError, ScheduleError
from fewer.weights.training.methods import SET, GradualMagnitude, RandomPruning, RigL
from fewer.weights.training.moment import active
from fewer.weights.training.updates import Updates

OFTEN = Updates(0.5, every=2, until=1.0)
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05, 0.9, nesterov=True, weight_decay=0.1),
    "sgd-fused": lambda p: torch.optim.SGD(p, 0.05, 0.9, weight_decay=0.1, fused=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1, amsgrad=True),
    "adamw-foreach": lambda p: torch.optim.AdamW(p, 0.01, foreach=True),
    "adamw-fused": lambda p: torch.optim.AdamW(p, 0.01, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5),
}
METHODS = {
    "random-pruning": RandomPruning(),
    "set": SET(updates=OFTEN),
    "rigl": RigL(updates=OFTEN),
    "gradual-magnitude": GradualMagnitude(every=2),
}
X = torch.randn(16, 12, generator=torch.Generator().manual_seed(1))
Y = torch.arange(16) % 3


def train(model, optimizer, steps, x=X, y=Y):
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
        yield


def sgd(model):
    return torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=0.01)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", METHODS)
def test_masks_hold_exactly_after_every_step_under_any_optimiser(method, optimizer):
    model = mlp()
    steps = OPTIMIZERS[optimizer](model.parameters())
    handle = fewer.attach(model, steps, METHODS[method], density=0.3, steps=20)
    stepped_under = handle.masks
    for _ in train(model, steps, 20):
        for name, mask in handle.masks.items():
            weight = model.get_submodule(name).weight
            assert not weight[~mask].any()
            assert not weight.grad[~stepped_under[name]].any()
            assert all(not s[~mask].any() for s in steps.state[weight].values() if s.shape == weight.shape)
        stepped_under = handle.masks
    size = 12 * 20 + 20 * 16 + 16 * 3
    assert handle.density == math.ceil(0.3 * size) / size
    assert handle.done == 20


def test_an_optimiser_that_mixes_entries_moves_no_masked_weight():
    model = nn.Sequential(nn.Linear(12, 8, bias=False), nn.Linear(8, 3, bias=False))
    muon = torch.optim.Muon(model.parameters(), 0.01)
    handle = fewer.attach(model, muon, "random-pruning", density=0.3)
    for _ in train(model, muon, 3):
        assert all(not model.get_submodule(n).weight[~m].any() for n, m in handle.masks.items())


@pytest.mark.parametrize(("build", "x"), [(cnn, torch.randn(2, 3, 8, 8)), (mlp, X), (llama, tokens()), (gpt2, tokens())])
def test_any_module_trains_under_masks(build, x):
    model = build().train()
    handle = fewer.attach(model, torch.optim.AdamW(model.parameters(), 0.01), RigL(updates=OFTEN), density=0.25, steps=6)
    before = handle.masks
    for _ in range(4):
        out = model(x)
        getattr(out, "logits", out).square().mean().backward()
        handle.step()
    size = sum(mask.numel() for mask in handle.masks.values())
    assert active(handle.masks) == math.ceil(0.25 * size)
    assert any(not torch.equal(before[name], mask) for name, mask in handle.masks.items())
    assert "lm_head" not in handle.masks


def test_only_wanted_layers_are_masked():
    model = mlp()
    handle = fewer.attach(model, sgd(model), "random-pruning", density=0.2, exclude="5")
    assert list(handle.masks) == ["0", "2"]
    assert model[5].weight.count_nonzero() == 48


def test_a_norm_to_clip_by_counts_active_weights_only():
    model = mlp()
    optimizer = sgd(model)
    handle = fewer.attach(model, optimizer, RigL(updates=Updates(0.5, every=2, until=1.0)), density=0.1, steps=20)
    for step in range(1, 5):
        optimizer.zero_grad()
        cross_entropy(model(X), Y).backward()
        dense = any(model.get_submodule(n).weight.grad[~m].any() for n, m in handle.masks.items())
        assert dense == (step % 2 == 0)  # a gradient that RigL is about to read stays whole
        optimizer.step()


def test_a_gradient_that_is_set_by_hand_is_masked_too():
    model = mlp()
    optimizer = sgd(model)
    handle = fewer.attach(model, optimizer, "random-pruning", density=0.1)
    cross_entropy(model(X), Y).backward()
    model[0].weight.grad += 1
    model[2].weight.grad = torch.full((16, 20), math.inf).where(handle.masks["2"].logical_not(), 1.0)
    optimizer.step()
    for name in ("0", "2"):
        weight = model.get_submodule(name).weight
        assert not weight[~handle.masks[name]].any()
        assert not optimizer.state[weight]["momentum_buffer"][~handle.masks[name]].any()


def test_accumulated_gradients_are_one_step_and_are_read_whole():
    whole, parts = mlp(), mlp()
    masks = []
    for model, batches in ((whole, 1), (parts, 4)):
        optimizer = torch.optim.SGD(model.parameters(), 0.05)
        handle = fewer.attach(model, optimizer, RigL(updates=OFTEN), density=0.3, steps=10)
        for _ in range(4):
            optimizer.zero_grad()
            for x, y in zip(X.chunk(batches), Y.chunk(batches), strict=True):
                (cross_entropy(model(x), y) / batches).backward()
            optimizer.step()
        assert handle.done == 4
        masks.append(handle.masks)
    assert all(torch.equal(masks[0][name], masks[1][name]) for name in masks[0])


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_the_gradient_scaler_skips_does_not_count(fused):
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01, fused=fused)
    handle = fewer.attach(model, optimizer, RigL(updates=Updates(0.5, every=1, until=1.0)), density=0.3, steps=20)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    before, weights = handle.masks, model[0].weight.clone()
    for poison, done in ((math.inf, 0), (1.0, 1), (math.nan, 1), (1.0, 2)):
        optimizer.zero_grad()
        scaler.scale(cross_entropy(model(X), Y) * poison).backward()
        scaler.step(optimizer)
        scaler.update()
        assert handle.done == done
        if not done:
            assert handle.masks is before and torch.equal(model[0].weight, weights)
        assert model[0].weight.isfinite().all()
        assert not model[0].weight[~handle.masks["0"]].any()


@pytest.mark.parametrize("by", ["handle", "optimizer", "keyword"])
def test_a_closure_gives_the_same_as_a_backward_before_the_step(by):
    def attached():
        model = mlp()
        optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        return model, optimizer, fewer.attach(model, optimizer, RigL(updates=OFTEN), density=0.3, steps=10)

    plain, optimizer, _ = attached()
    for _ in train(plain, optimizer, 6):
        pass

    model, optimizer, handle = attached()

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(model(X), Y)
        loss.backward()
        return loss

    for _ in range(6):
        calls = {
            "handle": lambda: handle.step(closure),
            "optimizer": lambda: optimizer.step(closure),
            "keyword": lambda: optimizer.step(closure=closure),
        }
        assert calls[by]().isfinite()
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), model.parameters(), strict=True))


def test_groups_of_parameters_keep_their_rates():
    model = mlp()
    optimizer = torch.optim.SGD([{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2:].parameters()}], 0.05)
    handle = fewer.attach(model, optimizer, "random-pruning", density=0.3)
    before = [model[0].weight.clone(), model[2].weight.clone()]
    for _ in train(model, optimizer, 2):
        pass
    assert torch.equal(model[0].weight, before[0])
    assert not torch.equal(model[2].weight, before[1])
    assert not model[2].weight[~handle.masks["2"]].any()


def test_what_prune_left_is_held_while_the_model_is_tuned(tmp_path):
    model = fewer.prune(mlp(), "magnitude", density=0.2)
    kept = model.fewer.selections
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    with fewer.attach(model, optimizer) as handle:
        for _ in train(model, optimizer, 5):
            pass
    assert handle.selections.overlap(kept) == 1
    fewer.save(model, tmp_path / "out")
    assert not any(model.get_submodule(n).weight[~s.mask].any() for n, s in kept.items())


def test_given_masks_can_be_a_start_for_a_method():
    model = mlp()
    masks = {"2": torch.arange(320).view(16, 20) % 3 == 0}
    handle = fewer.attach(model, sgd(model), RigL(updates=OFTEN), masks=masks, steps=8)
    for _ in train(model, handle._given, 6):
        assert int(handle.masks["2"].sum()) == int(masks["2"].sum())
    assert not torch.equal(handle.masks["2"], masks["2"])


def test_saving_after_training_records_the_masks_as_they_are_then(tmp_path):
    from fewer.core.selection_file import load_selections

    model = mlp()
    optimizer = sgd(model)
    handle = fewer.attach(model, optimizer, SET(updates=OFTEN), density=0.2, steps=10)
    start = handle.selections
    for _ in train(model, optimizer, 8):
        pass
    fewer.save(model, tmp_path / "out")
    saved = load_selections(tmp_path / "out" / "selections.safetensors")
    assert saved.overlap(handle.selections) == 1 > saved.overlap(start)


@pytest.mark.parametrize("method", ["gradual-magnitude", "random:gradual-magnitude", "random-pruning", RigL(updates=OFTEN)])
@pytest.mark.parametrize("path", [Cubic(0.8, 0.1, 2, 14, 3), Linear(1.0, 0.3, 0, 10, 1)])
def test_the_density_follows_a_schedule_and_nothing_comes_back_unless_it_grows(method, path):
    model = mlp()
    optimizer = sgd(model)
    handle = fewer.attach(model, optimizer, method, path, steps=16, allocation="uniform")
    size = sum(mask.numel() for mask in handle.masks.values())
    assert active(handle.masks) == math.ceil(path.at(0) * size - 1e-6)
    for step, _ in enumerate(train(model, optimizer, 16), 1):
        before = handle.masks
        if path.due(step):
            assert active(handle.masks) == pytest.approx(math.ceil(path.at(step) * size - 1e-6), abs=2)
        if not isinstance(method, RigL):
            assert not any((mask & ~before[name]).any() for name, mask in handle.masks.items())
    assert handle.density == pytest.approx(path.end, abs=2 / size)


def test_the_seed_fixes_random_positions_and_nothing_else_does():
    def masks(seed, other):
        torch.manual_seed(other)
        model = mlp()
        optimizer = sgd(model)
        handle = fewer.attach(model, optimizer, SET(updates=OFTEN), density=0.2, steps=10, seed=seed)
        for _ in train(model, optimizer, 6):
            torch.rand(3)
        return handle.selections

    assert masks(1, 0).overlap(masks(1, 9)) == 1
    assert masks(1, 0).overlap(masks(2, 0)) < 1


def test_closing_lets_go():
    model = mlp()
    optimizer = sgd(model)
    with fewer.attach(model, optimizer, "random-pruning", density=0.2) as handle:
        pass
    masked = ~handle.masks["2"]
    for _ in train(model, optimizer, 1):
        assert model[2].weight[masked].any()


REFUSED = [
    ({"method": "rigl", "density": 0.1}, ScheduleError, "rigl needs steps="),
    ({"method": "gradual-magnitude", "density": 0.1}, ScheduleError, "needs steps="),
    ({"method": "rigl", "density": 0.1, "steps": 50}, ScheduleError, "would move nothing within 50 steps"),
    ({"method": "rigl", "density": 1.5, "steps": 500}, BudgetError, r"must lie in \[0, 1\]"),
    ({"method": "rigl", "schedule": Linear(0.1, 0.5, 0, 9), "steps": 500}, ScheduleError, "cannot rise"),
    ({"method": "random-pruning", "schedule": Linear(1, 0.5, 0, 90), "steps": 50}, ScheduleError, "end at step 90"),
    ({"method": "rigl", "schedule": Density(0.1), "density": 0.1}, ScheduleError, "once"),
    ({"method": "rgl", "density": 0.1}, MethodError, 'did you mean "rigl"'),
    ({"method": "wanda", "density": 0.1}, MethodError, r"wanda does not train in a loop.*fewer\.prune"),
    ({"method": "random-pruning"}, MethodError, "no mask to hold"),
    ({}, MethodError, "no mask to hold"),
    ({"density": 0.5}, MethodError, "by which method"),
    ({"seed": 3, "masks": {"0": torch.ones(20, 12).bool()}}, MethodError, "no seed"),
    ({"method": "random-pruning", "density": 0.5, "masks": {}}, MethodError, "masks or a density"),
    ({"method": "random-pruning", "masks": {"0": torch.ones(20, 12).bool()}}, ScheduleError, "needs a density"),
    ({"masks": {"7": torch.ones(2, 2).bool()}}, ModelError, "given for 7; the model has only 0, 2, 5"),
    ({"masks": {"0": torch.ones(2, 2).bool()}}, ModelError, r"shape \(2, 2\) is given for 0; the model has \(20, 12\)"),
    ({"method": "rigl", "density": 0.1, "steps": 500, "include": "*.mlp"}, ModelError, "no prunable layer"),
]


@pytest.mark.parametrize(("settings", "error", "says"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_makes_no_sense_is_refused_before_a_weight_is_changed(settings, error, says):
    model = mlp()
    before = model[0].weight.clone()
    with pytest.raises(error, match=says):
        fewer.attach(model, sgd(model), **settings)
    assert torch.equal(model[0].weight, before)
    assert not hasattr(model, "fewer")


def test_optimisers_that_masks_cannot_follow_are_refused():
    model, other = mlp(), mlp()
    with pytest.raises(MethodError, match="LBFGS steps by a history"):
        fewer.attach(model, torch.optim.LBFGS(model.parameters()), "random-pruning", density=0.5)
    with pytest.raises(MethodError, match=r"torch\.optim\.Optimizer, not Linear"):
        fewer.attach(model, model[0], "random-pruning", density=0.5)
    with pytest.raises(ModelError, match="0 is not trained by this optimiser"):
        fewer.attach(model, sgd(other), "random-pruning", density=0.5)


def test_a_layer_has_the_masks_of_one_handle():
    model = mlp()
    optimizer = sgd(model)
    first = fewer.attach(model, optimizer, "random-pruning", density=0.5, exclude="5")
    with pytest.raises(MethodError, match=r"2 of these layers already: close\(\)"):
        fewer.attach(model, optimizer, "random-pruning", density=0.5, seed=1)
    second = fewer.attach(model, optimizer, "random-pruning", density=0.2, include="5")
    first.close()
    fewer.attach(model, optimizer, "random-pruning", density=0.5, seed=1, exclude="5")
    assert repr(second) == "MaskedTraining(1 layers, density 0.2083, 0 steps done)"


def test_a_frozen_layer_can_be_held_but_not_moved():
    model = fewer.prune(mlp(), "magnitude", density=0.2)
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    fewer.attach(model, optimizer).close()
    with pytest.raises(ModelError, match='exclude="0"'):
        fewer.attach(model, optimizer, RigL(updates=OFTEN), density=0.2, steps=9)


def test_magnitude_at_one_density_is_a_constant_schedule():
    model = mlp()
    handle = fewer.attach(model, sgd(model), "gradual-magnitude", Constant.of(0.2))
    largest = torch.cat([mlp().get_submodule(n).weight.abs().flatten() for n in handle.masks]).topk(active(handle.masks))
    assert handle.density == pytest.approx(0.2, abs=0.002)
    smallest = min(model.get_submodule(n).weight.detach()[m].abs().min() for n, m in handle.masks.items())
    assert smallest == largest.values.min()
