"""fewer.accelerate: the same outputs, never a slower choice, and nothing that surprises who trains or saves afterwards."""

import copy

import pytest
import torch
from small_models import llama
from torch import nn

import fewer
from fewer.errors import ModelError
from fewer.kernels.forms import pack
from fewer.weights.accelerate import FastLinear, accelerate, decelerate
from fewer.weights.accelerate import race as race_module
from fewer.weights.accelerate.kinds import Kind
from fewer.weights.accelerate.linear import Stack
from fewer.weights.accelerate.race import Outcome, fast, race, stacked
from fewer.weights.accelerate.shared_inputs import shared_inputs


class Attention(nn.Module):
    """Query, key and value read one tensor; the output reads another."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(64, 64), nn.Linear(64, 32, bias=False), nn.Linear(64, 32)
        self.o = nn.Linear(128, 64)

    def forward(self, x):
        return self.o(torch.cat([self.q(x), self.k(x), self.v(x)], -1))


def pruned(model):
    return fewer.prune(model, "magnitude", density=0.2)


def always(monkeypatch, form, largest=4):
    """Every race is won by one form, so that a test does not hang on a clock."""
    monkeypatch.setattr(
        "fewer.weights.accelerate.choose.race", lambda *_: Outcome(form, largest, {"torch": 2.0, form: 1.0}, "by decree")
    )


@pytest.mark.parametrize("form", ["bitmask", "sliced", "strips", "dense"])
@pytest.mark.parametrize("keep_dense", [True, False])
def test_outputs_stay_the_same_at_every_batch_size(monkeypatch, form, keep_dense):
    always(monkeypatch, form)
    model = pruned(Attention()).eval()
    plain = copy.deepcopy(model)
    accelerate(model, example=torch.randn(1, 64), keep_dense=keep_dense)
    assert isinstance(model.q, FastLinear)
    for shape in ((64,), (1, 64), (4, 64), (2, 1, 64), (5, 64), (3, 7, 64)):
        x = torch.randn(shape)
        with torch.inference_mode():
            assert torch.allclose(model(x), plain(x), atol=1e-5)


def test_layers_that_read_one_tensor_are_found_and_multiplied_in_one_go(monkeypatch):
    always(monkeypatch, "bitmask")
    model = accelerate(pruned(Attention()), example=torch.randn(2, 64))
    assert [choice.names for choice in model.acceleration.choices] == [("q", "k", "v"), ("o",)]
    assert model.q.stack is model.k.stack is model.v.stack is not model.o.stack
    calls = []
    multiply = model.q.stack.packed.multiply
    monkeypatch.setattr(model.q.stack.packed, "multiply", lambda x: calls.append(1) or multiply(x))
    with torch.no_grad():
        model(torch.randn(1, 64))
        model(torch.randn(1, 64))
    assert len(calls) == 2
    assert model.q.stack._last[1] == ()


def test_a_tensor_that_is_written_to_in_between_is_not_shared():
    class Writing(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return self.a(x) + self.b(x.add_(1))

    model = Writing()
    layers = {"a": model.a, "b": model.b}
    assert shared_inputs(model, layers, torch.randn(2, 8)) == [["a"], ["b"]]
    assert shared_inputs(model, layers, None) == [["a"], ["b"]]


def test_a_stack_called_with_another_tensor_makes_its_own_product():
    matrix = torch.randn(6, 16)
    stack = Stack(pack(matrix, "dense"), [4, 2], 1)
    x, other = torch.randn(1, 16), torch.randn(1, 16)
    assert torch.allclose(stack.product(x, 0), x @ matrix[:4].t(), atol=1e-5)
    assert torch.allclose(stack.product(other, 1), other @ matrix[4:].t(), atol=1e-5)
    assert torch.allclose(stack.product(x, 1), x @ matrix[4:].t(), atol=1e-5)


def test_gradients_and_changed_weights_go_the_dense_way(monkeypatch, caplog):
    always(monkeypatch, "bitmask")
    model = accelerate(nn.Sequential(nn.Linear(32, 16)))
    x = torch.randn(1, 32)
    model(x).sum().backward()
    assert model[0].weight.grad is not None
    with torch.no_grad():
        model[0].weight.mul_(2)
        assert torch.allclose(model(x), nn.functional.linear(x, model[0].weight, model[0].bias))
    assert "changed after they were packed" in caplog.text


@pytest.mark.parametrize("keep_dense", [True, False])
def test_the_state_dict_and_the_way_back_are_those_of_the_plain_model(monkeypatch, keep_dense):
    always(monkeypatch, "sliced")
    model = pruned(Attention())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    accelerate(model, keep_dense=keep_dense)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    decelerate(model)
    assert type(model.q) is nn.Linear
    assert not hasattr(model, "acceleration")
    assert torch.equal(model.q.weight, before["q.weight"])


def test_without_dense_weights_a_model_is_smaller(monkeypatch):
    always(monkeypatch, "bitmask")
    model = accelerate(pruned(nn.Sequential(nn.Linear(256, 256))), keep_dense=False)
    assert model[0].weight is None
    assert model[0].stack.packed.nbytes < 0.3 * 256 * 256 * 4


def test_a_form_that_is_not_surely_faster_is_not_chosen(monkeypatch):
    times = {"torch": 1.0}
    monkeypatch.setattr(race_module, "_times", lambda groups, forms, rows, _: timings(times | dict.fromkeys(forms, 0.99)))
    layer = pruned(nn.Sequential(nn.Linear(64, 64)))[0]
    outcome = race(Kind.of(layer.weight.detach()), [[layer]], 1, 0.01)
    assert outcome.form == "torch"
    assert "no sure gain" in outcome.why


def test_a_form_is_used_up_to_the_rows_at_which_it_still_wins(monkeypatch):
    monkeypatch.setattr(
        race_module, "_times", lambda groups, forms, rows, _: timings({"torch": 1.0} | dict.fromkeys(forms, 0.15 * rows))
    )
    layer = pruned(nn.Sequential(nn.Linear(64, 64)))[0]
    kind = Kind.of(layer.weight.detach())
    assert race(kind, [[layer]], 1, 0.01).largest == 4
    assert race(kind, [[layer]], 8, 0.01).form == "torch"


def timings(seconds):
    from fewer.measure.latency import Timing

    return {name: Timing(s, s, s, (s,) * 9, 1) for name, s in seconds.items()}


def test_a_real_race_reports_every_form_that_was_tried():
    model = nn.Sequential(*(nn.Linear(512, 512, bias=False) for _ in range(3)))
    fewer.prune(model, "magnitude", pattern="2:4")
    accelerate(model, seconds=0.05)
    (choice,) = {c.form: c for c in model.acceleration.choices}.values()
    assert {"torch", "dense", "2:4", "bitmask", "sliced"} <= choice.seconds.keys()
    assert choice.speedup >= 1 or choice.form == "torch"
    assert "3 linear layers" in str(model.acceleration)
    assert "3 of 512 x 512, density 0.50" in str(model.acceleration)


def test_a_causal_model_says_the_same_tokens_and_saves_the_same_folder(monkeypatch, tmp_path):
    always(monkeypatch, "bitmask")
    model = pruned(llama()).eval()
    ids = torch.arange(8)[None]
    said = model.generate(ids, max_new_tokens=12, do_sample=False)
    accelerate(model)
    assert ("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj", "model.layers.0.self_attn.v_proj") in [
        choice.names for choice in model.acceleration.choices
    ]
    assert torch.equal(model.generate(ids, max_new_tokens=12, do_sample=False), said)
    fewer.save(model, tmp_path / "out")
    again = type(model).from_pretrained(tmp_path / "out")
    assert torch.equal(again.generate(ids, max_new_tokens=12, do_sample=False), said)


@pytest.mark.parametrize("made_there", [False, True])
def test_a_model_is_accelerated_in_inference_mode_as_outside_it(monkeypatch, made_there):
    always(monkeypatch, "bitmask")
    with torch.inference_mode(made_there):
        model = pruned(Attention()).eval()
    plain = copy.deepcopy(model)
    with torch.inference_mode():
        accelerate(model, example=torch.randn(2, 64))
    assert [choice.names for choice in model.acceleration.choices] == [("q", "k", "v"), ("o",)]
    x = torch.randn(2, 64)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            assert torch.allclose(model(x), plain(x), atol=1e-5)


def test_what_was_accelerated_and_undone_in_inference_mode_can_be_trained(monkeypatch):
    always(monkeypatch, "bitmask")
    model = pruned(Attention())
    with torch.inference_mode():
        decelerate(accelerate(model, example=torch.randn(2, 64), keep_dense=False))
    model.requires_grad_()(torch.randn(2, 64)).sum().backward()
    assert model.q.weight.grad is not None


def test_what_cannot_be_accelerated_is_refused():
    with pytest.raises(ModelError, match="batch=3; allowed: 1, 2, 4, 8, 16"):
        accelerate(nn.Sequential(nn.Linear(4, 4)), batch=3)
    with pytest.raises(ModelError, match="no linear layer"):
        accelerate(nn.Sequential(nn.Conv2d(1, 1, 1)))
    with pytest.raises(ModelError, match="no linear layer"):
        accelerate(nn.Sequential(nn.Linear(4, 4)), exclude="*")


def test_half_precision_is_left_to_torch():
    model = accelerate(nn.Sequential(nn.Linear(32, 32)).half(), seconds=0.01)
    assert type(model[0]) is nn.Linear
    assert "no kernel for torch.float16" in model.acceleration.choices[0].why


def test_stacked_and_fast_agree_with_the_layers_they_replace():
    group = [nn.Linear(16, 3), nn.Linear(16, 5)]
    layers = fast(group, pack(stacked(group), "dense"), 2)
    x = torch.randn(1, 16)
    with torch.no_grad():
        assert all(torch.allclose(new(x), old(x), atol=1e-6) for new, old in zip(layers, group, strict=True))


def test_only_the_forms_that_are_allowed_are_tried():
    model = accelerate(pruned(nn.Sequential(nn.Linear(64, 64))), forms=["dense"], seconds=0.01)
    assert model.acceleration.choices[0].seconds.keys() == {"torch", "dense"}
    with pytest.raises(ModelError, match="no form is called csr; allowed: dense, 2:4"):
        accelerate(model, forms=["csr"])
