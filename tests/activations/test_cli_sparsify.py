"""`fewer activations sparsify` prints both perplexities and both speeds."""

import json

import pytest
from small_decoder import decoder
from typer.testing import CliRunner

from fewer.cli.activations import activations_app
from fewer.errors import BudgetError, MethodError


class Bytes:
    """A token is a byte, of which the model knows fifty."""

    def __call__(self, text, **_):
        import torch
        from transformers import BatchEncoding

        return BatchEncoding({"input_ids": torch.tensor([list(text.encode()[:4000])]) % 50})


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    from fewer.data import models

    monkeypatch.delenv("FEWER_DATA", raising=False)
    monkeypatch.setattr(models, "load_causal_lm", lambda name: (decoder(), Bytes()))


SHORT = ["sparsify", "tiny", "--length", "32", "--sequences", "2", "--windows", "2", "--tokens", "4", "--prompt", "abc"]


@pytest.mark.parametrize("method", ["r-sparse", "cats", "random:teal"])
def test_it_prints_one_json_object(method):
    done = CliRunner().invoke(activations_app, [*SHORT, "--method", method, "--sparsity", "0.4", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["sparsity"] == 0.4 and said["perplexity_before"] != said["perplexity_after"]
    assert said["tokens_per_second"] > 0 and 0.5 < said["weights_read"] < 1
    assert len(said["layers"]) == (2 if method == "cats" else 14)


def test_it_prints_a_table_and_two_sentences():
    done = CliRunner().invoke(activations_app, [*SHORT, "--rho", "1", "--together", "--exclude", "*.mlp.*"])
    assert done.exit_code == 0, done.output
    assert "q_proj + k_proj + v_proj" in done.stdout and "mlp" not in done.stdout
    assert "perplexity on held-out python-topics" in done.stdout and "tokens/s against" in done.stdout


def test_wrong_settings_are_errors_of_ours():
    assert isinstance(CliRunner().invoke(activations_app, [*SHORT, "--sparsity", "1.0"]).exception, BudgetError)
    assert isinstance(CliRunner().invoke(activations_app, [*SHORT, "--method", "wanda"]).exception, MethodError)
