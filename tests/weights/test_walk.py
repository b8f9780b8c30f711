import copy
import gc
import weakref

import pytest
import torch
from small_models import KINDS, Outside, Shared, bert, floats, gpt2, llama, mlp, tokens
from torch import nn

from fewer.core import Density
from fewer.errors import CalibrationError
from fewer.weights.layers import find_layers
from fewer.weights.methods import Wanda
from fewer.weights.seen import Hessian, InputNorm, Seen
from fewer.weights.walk import find_blocks, walk


def run(model, batches):
    with torch.no_grad():
        for batch in batches:
            model(**batch) if isinstance(batch, dict) else model(batch)


def first_input_norms(model, layers, batches):
    """||x|| of the input of each layer's first call, over all batches, by plain hooks."""
    squares, calls, hooks = {}, set(), []
    for name, layer in layers.items():

        def hook(_, args, name=name, layer=layer):
            if name not in calls:
                calls.add(name)
                squares[name] = squares.get(name, 0) + layer.rows(args[0]).double().square().sum(0)

        hooks.append(layer.module.register_forward_pre_hook(hook))
    for batch in batches:
        calls.clear()
        run(model, [batch])
    for hook in hooks:
        hook.remove()
    return {name: s.sqrt().float() for name, s in squares.items()}


def prune_and_record(model, batches, mode):
    norms = {}

    def visit(layer, seen):
        norms[layer.name] = seen.norm.clone()
        layer.write(Wanda().prune(layer.matrix(), seen, Density(0.5)).weight)

    walk(model, find_layers(model), batches, InputNorm, visit, mode)
    return norms


def leftovers(model):
    return [n for n, m in model.named_modules() if m._forward_pre_hooks or m._forward_hooks or "forward" in vars(m)]


@pytest.mark.parametrize("kind", KINDS)
def test_in_layer_mode_each_layer_sees_what_the_pruned_model_will_give_it(kind):
    model, batches = KINDS[kind][0](), KINDS[kind][1]()
    norms = prune_and_record(model, batches, "layer")
    expected = first_input_norms(model, find_layers(model), batches)
    assert set(norms) == set(find_layers(model))
    for name in norms:
        torch.testing.assert_close(norms[name], expected[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert not leftovers(model)


@pytest.mark.parametrize("kind", KINDS)
def test_in_block_mode_a_dense_block_sees_what_pruned_blocks_give_it(kind):
    model, batches = KINDS[kind][0](), KINDS[kind][1]()
    partly = copy.deepcopy(model)
    norms = prune_and_record(model, batches, "block")
    layers = find_layers(partly)
    blocks = find_blocks(model)
    home = {n: next((b for b in blocks if not b or n.startswith(f"{b}.")), n) for n in layers}
    assert set(norms) == set(layers)
    for block in dict.fromkeys(home[name] for name in norms):
        mine = {n: layer for n, layer in layers.items() if home[n] == block}
        expected = first_input_norms(partly, mine, batches)
        for name, layer in mine.items():
            torch.testing.assert_close(norms[name], expected[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
            layer.write(find_layers(model)[name].matrix())
    assert not leftovers(model)


def test_blocks_are_the_members_of_the_outermost_list_of_like_modules():
    assert find_blocks(llama()) == [f"model.layers.{i}" for i in range(3)]
    assert find_blocks(gpt2()) == ["transformer.h.0", "transformer.h.1"]
    assert find_blocks(bert()) == ["encoder.layer.0", "encoder.layer.1"]
    assert find_blocks(mlp()) == [""]


@pytest.mark.parametrize("mode", ["layer", "block"])
def test_a_shared_layer_is_visited_once(mode):
    visits = []
    model = Shared()
    walk(model, find_layers(model), floats(2, 5, 8), InputNorm, lambda layer, seen: visits.append(layer.name), mode)
    assert visits == ["blocks.0.0", "blocks.0.2", "blocks.1.0", "blocks.1.2"]


def test_layers_that_read_one_tensor_share_their_statistics():
    seen_of = {}
    model = llama()
    walk(model, find_layers(model), tokens().split(1), Hessian, lambda layer, seen: seen_of.update({layer.name: seen}), "layer")
    q, k, v, o = (seen_of[f"model.layers.1.self_attn.{n}_proj"] for n in "qkvo")
    assert q.products is k.products is v.products and q.products is not o.products
    assert (q.name, k.name) == ("model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.k_proj")


def test_an_input_that_was_changed_in_place_is_seen_anew():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            x = x + 0
            a = self.a(x)
            return a + self.b(x.mul_(3))

    norms = {}
    model = InPlace()
    walk(model, find_layers(model), [torch.ones(2, 4)], InputNorm, lambda layer, seen: norms.update({layer.name: seen.norm}))
    torch.testing.assert_close(norms["b"], 3 * norms["a"])


@pytest.mark.parametrize("mode", ["layer", "block"])
def test_layers_that_are_called_by_name_are_seen_too(mode):
    class Named(Outside):
        def forward(self, x):
            for block in self.blocks:
                x = block(self.before(input=x))
            return self.after(input=x)

    model, visited = Named(), []
    walk(model, find_layers(model), floats(2, 8), InputNorm, lambda layer, seen: visited.append(layer.name), mode)
    assert sorted(visited) == sorted(find_layers(model))


def test_an_unknown_mode_is_refused():
    with pytest.raises(CalibrationError, match='mode "blocks" is unknown; allowed: layer, block'):
        walk(mlp(), find_layers(mlp()), floats(4, 12), InputNorm, lambda *_: None, "blocks")


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stopped])
@pytest.mark.parametrize("mode", ["layer", "block"])
@pytest.mark.parametrize("where", ["visit", "forward"])
def test_nothing_is_left_behind_when_a_walk_is_cut_off(mode, error, where):
    model = llama().train()
    model.model.layers[1].mlp.eval()
    states = {n: m.training for n, m in model.named_modules()}
    visits = []

    def visit(layer, seen):
        visits.append(layer.name)
        if where == "visit" and len(visits) == 9:
            raise error

    def fail(*_):
        raise error

    mine = model.model.layers[1].mlp.act_fn.register_forward_hook(fail) if where == "forward" else None
    with pytest.raises(error):
        walk(model, find_layers(model), tokens().split(1), InputNorm, visit, mode)
    if mine is not None:
        mine.remove()
    assert 7 <= len(visits) < 21 and not leftovers(model)
    assert {n: m.training for n, m in model.named_modules()} == states
    assert model.config.use_cache is True and torch.is_grad_enabled()
    run(model, tokens().split(1))


@pytest.mark.parametrize("mode", ["layer", "block"])
def test_training_state_cache_and_hooks_of_others_are_as_before(mode):
    model = llama().train()
    model.model.layers[0].mlp.eval()
    states = {n: m.training for n, m in model.named_modules()}
    calls = []
    model.model.layers[1].mlp.register_forward_hook(lambda *_: calls.append(1))
    seen_training = []
    walk(
        model,
        find_layers(model),
        tokens().split(1),
        InputNorm,
        lambda layer, seen: seen_training.append((model.training, model.config.use_cache)),
        mode,
    )
    assert set(seen_training) == {(False, False)} and calls
    assert {n: m.training for n, m in model.named_modules()} == states and model.config.use_cache is True
    assert len(leftovers(model)) == 1


def test_a_forward_of_its_own_on_a_block_stays_there():
    model = llama()
    block = model.model.layers[1]
    original, calls = block.forward, []

    def own(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    block.forward = own
    walk(model, find_layers(model), tokens().split(1), InputNorm, lambda *_: None, "block")
    assert block.forward is own and calls


@pytest.mark.parametrize("gather", [Seen, InputNorm, Hessian])
def test_inputs_of_earlier_layers_are_not_kept(gather):
    model = nn.Sequential(*[nn.Linear(6, 6) for _ in range(5)])
    inputs: list[list[weakref.ref]] = [[] for _ in model]
    for place, module in enumerate(model):
        module.register_forward_pre_hook(lambda _, args, place=place: inputs[place].append(weakref.ref(args[0])))
    alive_at = []

    def visit(layer, seen):
        alive_at.append([place for place, refs in enumerate(inputs) if any(ref() is not None for ref in refs)])

    walk(model, find_layers(model), floats(4, 6), gather, visit)
    # The first input is the caller's own; of the others only those that the next layer needs are alive.
    assert [[place for place in alive if place] for alive in alive_at] == [[], [1], [2], [3], [4]]
    gc.collect()
    assert not any(ref() is not None for refs in inputs[1:] for ref in refs)


def test_the_forward_ends_at_the_last_layer_that_is_wanted():
    model = llama()
    reached = []
    model.model.layers[2].register_forward_pre_hook(lambda *_: reached.append(1))
    walk(model, find_layers(model, include=["model.layers.0.*"]), tokens().split(1), InputNorm, lambda *_: None)
    assert not reached


@pytest.mark.parametrize("mode", ["layer", "block"])
def test_no_batches_are_refused(mode):
    with pytest.raises(CalibrationError, match="calibration data are empty"):
        walk(mlp(), find_layers(mlp()), [], InputNorm, lambda *_: None, mode)


@pytest.mark.parametrize("mode", ["layer", "block"])
def test_layers_that_no_batch_reaches_are_named(mode):
    class Unused(Outside):
        def forward(self, x):
            return self.before(x)

    model = Unused()
    with pytest.raises(CalibrationError, match=r"5 layers were never reached .* such as after"):
        walk(model, find_layers(model), floats(2, 8), InputNorm, lambda *_: None, mode)
    assert not leftovers(model)


def test_a_model_that_routes_by_content_is_walked_in_blocks():
    class Routed(nn.Module):
        def __init__(self):
            super().__init__()
            self.even, self.odd = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.even(x) if float(x.sum()) > 0 else self.odd(x)

    model, batches = Routed(), [torch.ones(1, 4), -torch.ones(1, 4)]
    with pytest.raises(CalibrationError, match='mode="block"'):
        walk(model, find_layers(model), batches, Seen, lambda *_: None)
    visited = []
    walk(model, find_layers(model), batches, Seen, lambda layer, seen: visited.append((layer.name, seen.tokens)), "block")
    assert visited == [("even", 1), ("odd", 1)]
