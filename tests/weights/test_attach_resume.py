import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import llama, mlp
from torch import nn
from torch.nn.functional import cross_entropy

import fewer
from fewer.core import Cubic
from fewer.errors import ResumeError
from fewer.weights.training.methods import SET, GradualMagnitude, RandomPruning, RigL
from fewer.weights.training.tree_file import read_tree, write_tree
from fewer.weights.training.updates import Updates

OFTEN = Updates(0.5, every=3, until=1.0)
METHODS = [
    RandomPruning(seed=1),
    SET(updates=OFTEN, seed=1),
    RigL(updates=OFTEN, seed=1),
    GradualMagnitude(every=3),
    GradualMagnitude(every=3, seed=1).random_twin(),
]
OPTIMIZERS = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), 0.05, 0.9, nesterov=True, weight_decay=0.01),
    "adamw": lambda m: torch.optim.AdamW(m.parameters(), 0.01),
}


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 3))


def train(model, optimizer, steps):
    for step in steps:
        x = torch.randn(16, 12, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        cross_entropy(model(x), torch.arange(16) % 3).backward()
        optimizer.step()


def begin(seed=0, method=METHODS[2], optimizer="sgd", **settings):
    model = network(seed)
    steps = OPTIMIZERS[optimizer](model)
    return model, steps, fewer.attach(model, steps, method, **{"density": 0.3, "steps": 20, **settings})


def same(ours, theirs):
    (model, optimizer, handle), (model_2, optimizer_2, handle_2) = ours, theirs
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), model_2.parameters(), strict=True))
    assert all(torch.equal(mask, handle_2.masks[name]) for name, mask in handle.masks.items())
    for a, b in zip(model.parameters(), model_2.parameters(), strict=True):
        assert all(torch.equal(value, optimizer_2.state[b][key]) for key, value in optimizer.state[a].items())
    was, now = handle.state_dict(), handle_2.state_dict()
    assert all(torch.equal(bits, now["record"]["ever"][name]) for name, bits in was["record"].pop("ever").items())
    assert all(torch.equal(bits, now["record"]["always"][name]) for name, bits in was["record"].pop("always").items())
    assert was["record"].items() <= now["record"].items()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_training_goes_on_from_a_file_bit_for_bit(method, optimizer, tmp_path):
    straight = begin(0, method, optimizer)
    train(*straight[:2], range(20))

    first = begin(0, method, optimizer)
    train(*first[:2], range(10))
    path = first[2].save(tmp_path / "half.safetensors")
    second = begin(99, method, optimizer, resume=path)  # other initial weights
    same(first, second)
    train(*second[:2], range(10, 20))
    same(straight, second)


def test_training_goes_on_from_states_that_the_user_keeps(tmp_path):
    straight = begin()
    train(*straight[:2], range(20))
    model, optimizer, handle = begin()
    train(model, optimizer, range(10))
    kept = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    path = handle.save(tmp_path / "masks.safetensors", whole=False)
    assert path.stat().st_size < 8000  # bits, not weights

    later = network(99)
    later.load_state_dict(kept["model"])
    steps = OPTIMIZERS["sgd"](later)
    steps.load_state_dict(kept["optimizer"])
    second = later, steps, fewer.attach(later, steps, METHODS[2], density=0.3, steps=20, resume=path)
    train(*second[:2], range(10, 20))
    same(straight, second)


def test_a_state_loads_into_a_handle_once_the_model_is_loaded():
    straight = begin()
    train(*straight[:2], range(20))
    model, optimizer, handle = begin()
    train(model, optimizer, range(10))
    second = begin(99)
    second[0].load_state_dict(model.state_dict())
    second[1].load_state_dict(optimizer.state_dict())
    second[2].load_state_dict(handle.state_dict())
    train(*second[:2], range(10, 20))
    same(straight, second)


def test_a_model_that_was_not_loaded_or_was_masked_since_is_noticed():
    model, optimizer, handle = begin()
    train(model, optimizer, range(10))
    other = network(99)
    with pytest.raises(ResumeError, match="0 is not as it was saved with these masks"):
        fewer.attach(other, OPTIMIZERS["sgd"](other), METHODS[2], density=0.3, steps=20, resume=handle.state_dict())
    assert other[0].weight.count_nonzero() == 240
    other.load_state_dict(model.state_dict())
    masked_since = fewer.attach(other, OPTIMIZERS["sgd"](other), METHODS[2], density=0.3, steps=20)
    with pytest.raises(ResumeError, match="Load the model first"):
        masked_since.load_state_dict(handle.state_dict())


def test_masks_that_are_held_are_in_the_file(tmp_path):
    model = fewer.prune(network(0), "magnitude", density=0.2)
    optimizer = OPTIMIZERS["adamw"](model)
    handle = fewer.attach(model, optimizer)
    train(model, optimizer, range(5))
    path = handle.save(tmp_path / "tuned.safetensors")
    later = network(99)
    resumed = fewer.attach(later, OPTIMIZERS["adamw"](later), resume=path)
    assert resumed.selections.overlap(handle.selections) == 1
    assert torch.equal(later[2].weight, model[2].weight)


CHANGES = [
    ({"method": METHODS[1]}, "its method is"),
    ({"density": 0.2}, "its schedule is"),
    ({"density": None, "schedule": Cubic(1.0, 0.3, 0, 20, 5)}, "its schedule is"),
    ({"steps": 30}, "its steps is 20, and here it is 30"),
    ({"seed": 7}, "its method is"),
    ({"allocation": "uniform"}, "its method is"),
    ({"exclude": "4"}, "other layers: 4 \\(3x16 there, absent here\\)"),
    ({"optimizer": "adamw"}, "saved with SGD"),
]


@pytest.mark.parametrize(("change", "says"), CHANGES, ids=lambda c: str(c)[:40])
def test_another_configuration_is_refused_before_anything_is_changed(change, says, tmp_path):
    path = begin()[2].save(tmp_path / "state.safetensors")
    settings = {"method": METHODS[2], "optimizer": "sgd", "density": 0.3, "steps": 20, **change}
    model = network(5)
    optimizer = OPTIMIZERS[settings.pop("optimizer")](model)
    before = model[0].weight.clone()
    with pytest.raises(ResumeError, match=says):
        fewer.attach(model, optimizer, resume=path, **settings)
    assert torch.equal(model[0].weight, before) and not optimizer.state
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("build", [mlp, lambda: nn.Sequential(nn.Linear(12, 21), nn.ReLU(), nn.Linear(21, 3)), llama])
def test_a_state_of_another_model_is_refused(build, tmp_path):
    path = begin()[2].save(tmp_path / "state.safetensors")
    model = build()
    with pytest.raises(ResumeError, match="of another model"):
        fewer.attach(model, OPTIMIZERS["sgd"](model), METHODS[2], density=0.3, steps=20, resume=path)


def test_files_that_hold_no_state_are_refused(tmp_path):
    from safetensors.torch import save_file

    model, optimizer, handle = begin()
    handle.close()
    save_file({"a": torch.ones(2)}, tmp_path / "other.safetensors")
    whole = handle.save(tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-100])
    write_tree(tmp_path / "empty.safetensors", {"masks": {}, "step": 3})
    for name in ("missing", "other", "cut", "empty"):
        with pytest.raises(ResumeError):
            fewer.attach(model, optimizer, METHODS[2], density=0.3, steps=20, resume=tmp_path / f"{name}.safetensors")


def test_damaged_masks_are_refused():
    handle = begin()[2]
    state = handle.state_dict()
    state["masks"]["0"] = state["masks"]["0"][:-1]
    with pytest.raises(ResumeError, match="damaged"):
        handle.load_state_dict(state)


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
trees = st.recursive(
    plain,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), trees))
def test_a_tree_of_plain_values_comes_back_as_it_was(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("trees") / "tree.safetensors"
    assert read_tree(write_tree(path, tree)) == tree


def test_tensors_come_back_bit_for_bit_also_where_they_share_memory(tmp_path):
    base = torch.randn(6, 4)
    tree = {"a": base, "tied": base, "t": base.t(), "part": base[2:4], "half": base.bfloat16(), "one": torch.tensor(3.0)}
    tree |= {"none": torch.zeros(0, 3), "none too": torch.zeros(2, 0), "flags": torch.tensor([True, False])}
    path = write_tree(tmp_path / "tree.safetensors", tree)
    found = read_tree(path)
    assert found.keys() == tree.keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in tree.items())
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    assert len(header) - 1 == len(tree) - 1  # the tied one is there once


def test_what_is_no_plain_value_is_refused(tmp_path):
    with pytest.raises(ResumeError, match="not object"):
        write_tree(tmp_path / "tree.safetensors", {"a": object()})
    assert not list(tmp_path.iterdir())
