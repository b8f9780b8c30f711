"""fewer activations measure."""

import json
from types import SimpleNamespace

import pytest
import torch
import transformers
from typer.testing import CliRunner

from fewer.cli.lazy_neuron import activations_app
from fewer.data import models


@pytest.fixture
def measured(monkeypatch):
    """Runs the command on a small model of bytes."""
    sizes = {"vocab_size": 256, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)).eval()

    def tokenizer(text, **_):
        return SimpleNamespace(input_ids=torch.tensor([list(text.encode())]))

    monkeypatch.setattr(models, "load_causal_lm", lambda name: (model, tokenizer))
    return lambda *args: CliRunner().invoke(activations_app, ["measure", *args])


def test_a_table_has_a_line_for_each_layer(measured):
    found = measured("some-model", "python-topics", "--windows", "2", "--length", "16")
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["layer", *(f"model.layers.{i}.mlp.down_proj" for i in range(2)), "32"]
    assert lines[-1].startswith("32 tokens of python-topics; 1.000")


def test_json_is_all_that_is_printed(measured):
    said = json.loads(measured("some-model", "python-topics", "--windows", "2", "--length", "16", "--json").stdout)
    assert (said["model"], said["text"], said["tokens"]) == ("some-model", "python-topics", 32)
    assert len(said["layers"]) == 2
