"""fewer.accelerate with the forms of a GPU: chosen by device, and only for the rows of input where they win."""

import pytest
import torch
from torch import nn

import fewer
from fewer.errors import ModelError
from fewer.kernels.forms import Blocks, pack
from fewer.measure.latency import Timing
from fewer.weights.accelerate import FastLinear, accelerate, decelerate
from fewer.weights.accelerate import race as race_module
from fewer.weights.accelerate.kinds import Kind
from fewer.weights.accelerate.race import ROWS, Outcome, fast, race

BLOCKS_ARE_TAKEN = "fewer.weights.accelerate.choose.race"


def layer_of_blocks():
    layer = nn.Linear(256, 128)
    with torch.no_grad():
        layer.weight.mul_((torch.arange(8) % 4 == 0).float().repeat_interleave(16)[:, None])
    return layer


def took(monkeypatch, torch_seconds, form_seconds):
    """Times as functions of the rows."""

    def times(groups, forms, rows, _):
        seconds = {"torch": torch_seconds(rows)} | dict.fromkeys(forms, form_seconds(rows))
        return {name: Timing(s, s, s, (s,) * 9, 1) for name, s in seconds.items()}

    monkeypatch.setattr(race_module, "_times", times)


def test_forms_are_those_of_the_matrixs_device(monkeypatch):
    matrix = layer_of_blocks().weight.detach()
    assert "blocks" not in Kind.of(matrix).fits
    monkeypatch.setattr(Blocks, "devices", ("cpu", "cuda"))
    assert "blocks" in Kind.of(matrix).fits
    assert Kind.of(matrix.half()).fits == ("blocks",)


def test_a_form_that_wins_only_from_some_rows_on_is_used_from_there(monkeypatch):
    monkeypatch.setattr(Blocks, "devices", ("cpu",))
    took(monkeypatch, lambda rows: rows, lambda rows: 3 + 0.2 * rows)
    layer = layer_of_blocks().half()
    outcome = race(Kind.of(layer.weight.detach()), [[layer]], 8, 0.01)
    assert (outcome.form, outcome.smallest, outcome.largest) == ("blocks", 4, 16)
    assert "4 to 16 rows" in outcome.why


def test_on_a_gpu_more_rows_are_tried(monkeypatch):
    monkeypatch.setattr(Blocks, "devices", ("cpu",))
    monkeypatch.setitem(ROWS, "cpu", ROWS["cuda"])
    took(monkeypatch, lambda rows: 2.0, lambda rows: 1.0 if rows < 1000 else 4.0)
    layer = layer_of_blocks().half()
    outcome = race(Kind.of(layer.weight.detach()), [[layer]], 64, 0.01)
    assert (outcome.smallest, outcome.largest) == (1, 256)
    assert outcome.why == "2.00 x torch; up to 256 rows"


def test_fewer_rows_than_the_smallest_go_the_dense_way(monkeypatch):
    layer = layer_of_blocks()
    packed = pack(layer.weight.detach(), "strips")
    multiplied = []
    multiply = packed.multiply
    monkeypatch.setattr(packed, "multiply", lambda x: multiplied.append(len(x)) or multiply(x))
    (new,) = fast([layer], packed, 8, smallest=4)
    (alone,) = fast([layer], packed, 8, keep_dense=False, smallest=4)
    with torch.no_grad():
        for rows in (1, 3, 4, 8, 9):
            x = torch.randn(rows, 256)
            assert torch.allclose(new(x), layer(x), atol=1e-5)
        assert multiplied == [4, 8]
        alone(torch.randn(1, 256))
    assert multiplied == [4, 8, 1]


def test_a_model_on_a_device_without_kernels_is_refused():
    with pytest.raises(ModelError, match="0 is on meta; move the model to cpu or cuda, or exclude it"):
        accelerate(nn.Sequential(nn.Linear(4, 4, device="meta")))


def test_blocks_go_through_accelerate_and_back(monkeypatch):
    """Here through the reference, on the CPU."""
    monkeypatch.setattr(Blocks, "devices", ("cpu",))
    monkeypatch.setenv("FEWER_KERNELS", "reference")
    monkeypatch.setattr(BLOCKS_ARE_TAKEN, lambda *_: Outcome("blocks", 16, {"torch": 2.0, "blocks": 1.0}, "by decree", 2))
    model = nn.Sequential(layer_of_blocks(), nn.ReLU(), nn.Linear(128, 4))
    x = torch.randn(3, 256)
    with torch.no_grad():
        before = model(x)
        accelerate(model, exclude="2")
        assert isinstance(model[0], FastLinear)
        assert torch.allclose(model(x), before, atol=1e-5)
    (choice,) = model.acceleration.choices
    assert (choice.smallest, choice.largest) == (2, 16)
    assert choice.bytes < 0.3 * choice.dense_bytes
    assert type(decelerate(model)[0]) is nn.Linear


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_no_output_changes_and_the_path_is_named():
    model = nn.Sequential(*(nn.Linear(1024, 1024, bias=False) for _ in range(3))).cuda().bfloat16()
    fewer.prune(model, "magnitude", pattern="block:64x64", density=0.2)
    x = torch.randn(1, 1024, device="cuda", dtype=torch.bfloat16)
    with torch.no_grad():
        before = model(x)
        accelerate(model, seconds=0.1)
        assert torch.allclose(model(x), before, atol=1e-3, rtol=2e-2)
    assert model.acceleration.path in ("triton", "reference")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["gpu-2to4", "gpu-blocks"])
def test_the_benchmarks_of_a_gpu_say_that_there_is_none(name):
    from fewer.cli.bench import find
    from fewer.errors import MeasureError

    with pytest.raises(MeasureError, match=f"{name} needs a CUDA device"):
        next(find()[name].run())
