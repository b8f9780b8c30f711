"""Searches keep their budgets, improve what they minimise, and go on where they were cut off."""

import json

import pytest
import torch
from small_decoder import decoder, tokens
from torch import nn

from fewer.activations import search_rho, search_sparsity, teal
from fewer.activations.linear import SparseLinear
from fewer.activations.search.evolve import Evolution
from fewer.activations.search.greedy import raised
from fewer.errors import BudgetError, CalibrationError, ResumeError, SearchError

FEW = Evolution(population=5, generations=2, elite=2)


def test_the_search_over_rho_is_at_least_as_good_as_its_uniform_starts_and_leaves_the_model_dense():
    model = decoder()
    found = search_rho(model, 0.6, tokens(), evolution=FEW)
    assert found.loss <= min(found.uniform, found.without) and found.evaluations == 5 + 2 * 3
    assert list(found.history) == sorted(found.history, reverse=True) and found.history[-1] == found.loss
    assert len(found.rho) == 14 and all(0 <= value <= 1 for value in found.rho.values())
    assert not any(isinstance(module, SparseLinear) for module in model.modules())
    assert found == search_rho(model, 0.6, tokens(), evolution=FEW)


def test_it_finds_a_loss_of_its_own_making():
    model = nn.Sequential(nn.Linear(64, 64))
    data = [torch.randn(50, 64)]

    def loss(model):
        return abs(model.input_sparsity.layers[0].rank - 12)

    found = search_rho(model, 0.5, data, evolution=Evolution(population=8, generations=20, elite=2), loss=loss)
    assert 12 <= (1 - found.rho["0"]) * 0.5 * 64 * 64 / 128 < 13


def test_a_search_that_was_cut_off_goes_on_and_another_one_is_refused(tmp_path):
    model = decoder()
    whole = search_rho(model, 0.5, tokens(), evolution=FEW, folder=tmp_path)
    path = tmp_path / "rho-search.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "losses": kept["losses"][:4]}))
    calls = []
    again = search_rho(
        model, 0.5, tokens(), evolution=FEW, folder=tmp_path, progress=lambda done, total, best: calls.append((done, total))
    )
    assert again == whole and calls[-1] == (11, 11)
    with pytest.raises(ResumeError, match="another search"):
        search_rho(model, 0.4, tokens(), evolution=FEW, folder=tmp_path)
    path.write_text("{")
    with pytest.raises(ResumeError, match="damaged"):
        search_rho(model, 0.5, tokens(), evolution=FEW, folder=tmp_path)


def test_greedy_steps_take_what_costs_least_for_each_weight_and_meet_the_mean():
    sizes = {"cheap": 100, "dear": 300}
    found = raised(sizes, lambda now: now["cheap"] ** 2 * 100 + 10 * now["dear"] ** 2 * 300, 0.3, 0.05, 0.9)
    assert sum(found[name] * size for name, size in sizes.items()) == pytest.approx(0.3 * 400)
    assert found["cheap"] == pytest.approx(0.9) and found["dear"] == pytest.approx(0.1)


def test_greedy_by_hand_is_the_best_split_of_a_convex_cost():
    found = raised({"a": 1, "b": 1}, lambda now: now["a"] ** 2 + 3 * now["b"] ** 2, 0.4, 0.01, 0.9)
    assert found == {"a": pytest.approx(0.6, abs=0.011), "b": pytest.approx(0.2, abs=0.011)}


@pytest.mark.parametrize("by", ["block", "kind"])
def test_sparsities_by_layer_have_the_mean_that_was_asked_for(by):
    model = decoder()
    found = search_sparsity(model, 0.4, tokens(2), by=by, step=0.2)
    sizes = {name: module.weight.numel() for name, module in model.named_modules() if name in found}
    assert len(found) == 14 and max(found.values()) <= 0.95
    assert sum(found[n] * sizes[n] for n in found) / sum(sizes.values()) == pytest.approx(0.4, abs=1e-6)
    if by == "kind":
        assert found["model.layers.0.mlp.up_proj"] == found["model.layers.1.mlp.up_proj"]
    assert teal(model, found, tokens()).input_sparsity.touched == pytest.approx(0.6, abs=1e-6)


def test_a_model_without_blocks_is_one_block():
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    found = search_sparsity(model, 0.3, [torch.randn(64, 16)], step=0.1)
    assert (found["0"] * 512 + found["2"] * 128) / 640 == pytest.approx(0.3, abs=1e-6)


def test_searches_that_make_no_sense_are_refused():
    with pytest.raises(SearchError, match="elite < population"):
        Evolution(population=4, elite=4)
    with pytest.raises(SearchError, match="allowed: block, kind"):
        search_sparsity(decoder(), 0.5, tokens(), by="layer")
    with pytest.raises(BudgetError, match="0 <= sparsity <= most"):
        search_sparsity(decoder(), 0.97, tokens())
    with pytest.raises(BudgetError, match="sparsity must lie"):
        search_rho(decoder(), 1.0, tokens(), evolution=FEW)
    with pytest.raises(CalibrationError, match="Give loss="):
        search_rho(nn.Sequential(nn.Linear(4, 4)), 0.5, [torch.randn(3, 4)], evolution=FEW)
    with pytest.raises(SearchError, match="loss of a setting is NaN"):
        search_rho(nn.Sequential(nn.Linear(4, 4)), 0.5, [torch.randn(3, 4)], evolution=FEW, loss=lambda _: float("nan"))
