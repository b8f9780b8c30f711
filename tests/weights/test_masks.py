import copy

import pytest
import torch
from small_models import cnn, floats, llama, mlp
from torch import nn

from fewer.core import Density, Selection, Selections, noise, select
from fewer.errors import SelectionError
from fewer.weights.masks import apply, held, hold, release
from fewer.weights.prune import prune


def some(model, seed=0):
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d) and n != "lm_head"]
    shapes = {n: model.get_submodule(n).weight.shape for n in names}
    return Selections({n: select(noise(s, seed, n), "layer", Density(0.5), n) for n, s in shapes.items()})


def test_a_held_mask_holds_while_the_module_trains():
    model, masks = mlp(), some(mlp())
    hold(model, masks)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
    before = model[0].weight.clone()
    for x in floats(4, 12, batches=5):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    assert held(model).overlap(masks) == 1
    for name, selection in masks.items():
        assert bool((model[int(name)].weight[~selection.mask] == 0).all())
    assert not torch.equal(model[0].weight, before)


def test_gradients_of_what_is_masked_are_zero():
    model, masks = mlp(), some(mlp())
    hold(model, masks)
    model(floats(4, 12)[0]).square().sum().backward()
    gradient = model[0].parametrizations.weight.original.grad
    assert bool((gradient[~masks["0"].mask] == 0).all()) and bool((gradient[masks["0"].mask] != 0).any())


def test_masked_weights_that_became_infinite_stay_out():
    model = hold(mlp(), some(mlp()))
    with torch.no_grad():
        model[0].parametrizations.weight.original[~some(mlp())["0"].mask] = float("inf")
    assert bool(model(floats(4, 12)[0]).isfinite().all())


@pytest.mark.parametrize("make", [mlp, cnn, llama])
def test_holding_and_releasing_is_the_same_as_applying(make):
    masks = some(make())
    released, applied = release(hold(make(), masks)), apply(make(), masks)
    ours, theirs = released.state_dict(), applied.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)
    assert len(held(released)) == 0 and isinstance(next(iter(released.parameters())), nn.Parameter)


def test_a_mask_that_is_held_is_replaced_and_the_callers_own_is_not_touched():
    model, first, second = mlp(), {"0": some(mlp(), 1)["0"]}, {"0": some(mlp(), 2)["0"]}
    copies = [s["0"].mask.clone() for s in (first, second)]
    hold(hold(model, first), second)
    assert torch.equal(held(model)["0"].mask, copies[1])
    assert torch.equal(first["0"].mask, copies[0]) and torch.equal(second["0"].mask, copies[1])


def test_a_replaced_mask_brings_back_weights_that_were_only_hidden():
    model = mlp()
    before = model[0].weight.clone()
    everything = Selection(torch.ones(20, 12, dtype=torch.bool))
    hold(hold(model, some(model)), {"0": everything})
    assert torch.equal(model[0].weight, before)


def test_applying_to_a_model_with_held_masks_changes_its_stored_weights():
    model, first, second = mlp(), some(mlp(), 1), some(mlp(), 2)
    apply(hold(model, first), second)
    release(model)
    for name in first:
        assert not model[int(name)].weight[~(first[name].mask & second[name].mask)].any()


def test_a_mask_for_another_model_changes_nothing():
    model = mlp()
    before = {n: v.clone() for n, v in model.state_dict().items()}
    good, wrong = some(model)["0"], Selection(torch.ones(2, 2, dtype=torch.bool))
    for put in (hold, apply):
        for masks in ({"0": good, "2": wrong}, {"0": good, "nothing": good}, {"0": good, "1": good}):
            with pytest.raises(SelectionError, match="made for another model"):
                put(model, masks)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())


def test_a_copy_of_a_model_that_holds_masks_holds_them_too():
    model = copy.deepcopy(hold(mlp(), some(mlp())))
    assert held(model).overlap(some(mlp())) == 1


def test_a_pruned_model_stays_pruned_while_it_is_trained_on():
    model = prune(mlp(), "magnitude", density=0.3)
    hold(model, model.fewer.selections)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for x in floats(4, 12):
        model(x).square().sum().backward()
        optimizer.step()
    release(model)
    for name, selection in model.fewer.selections.items():
        assert torch.equal(model[int(name)].weight != 0, selection.mask)
