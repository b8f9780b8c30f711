"""fewer attention compare and fit."""

import json
from types import SimpleNamespace

import pytest
import torch
import transformers
from typer.testing import CliRunner

from fewer.cli.attention import attention_app
from fewer.data import models
from fewer.errors import AttentionError, DataError, ModelError


class Bytes:
    """A token is a byte."""

    def __call__(self, text, **_):
        return SimpleNamespace(input_ids=torch.tensor([list(text.encode())]))

    def save_pretrained(self, folder):
        pass


@pytest.fixture
def attention(monkeypatch):
    """Runs the command on a small model of bytes."""
    sizes = {"vocab_size": 256, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**sizes, initializer_range=0.3, max_position_embeddings=512)
    model = transformers.LlamaForCausalLM(config).eval()
    monkeypatch.setattr(models, "load_causal_lm", lambda name: (model, Bytes()))

    def run(command, *args):
        found = CliRunner().invoke(attention_app, [command, "some-model", *args])
        if found.exit_code == 1:
            raise found.exception
        return found

    return run


def test_compare_prints_a_line_for_each_method_and_writes_the_picture(attention, tmp_path):
    picture = tmp_path / "picture.html"
    found = attention("compare", "python-topics", "--length", "300", "--methods", "local, block,quest", "--out", str(picture))
    places = [found.stdout.index(words) for words in ("in prompts", "\n local ", "\n block ", "in decoding", "\n quest ")]
    assert places == sorted(places)
    assert "too short for the settings of local, block, quest" in found.stdout
    assert "layer 2 of 2" in found.stderr and picture.as_uri() in found.stderr
    assert picture.read_text(encoding="utf-8").count("python-topics, 300 tokens") == 1


def test_json_is_all_that_compare_prints(attention, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("One fox and another one. " * 20)
    found = attention("compare", str(words), "--length", "200", "--methods", "local,tidal", "--share", "0.25", "--json")
    said = json.loads(found.stdout)
    assert (said["model"], said["text"], said["tokens"]) == ("some-model", str(words), 200)
    assert [(one["name"], one["parameters"].get("keys")) for one in said["methods"]] == [("local", None), ("tidal", 50)]
    assert said["methods"][0]["density"] < 1


def test_fit_reports_on_the_held_out_part_and_saves_the_model(attention, tmp_path):
    folder = tmp_path / "fitted"
    found = attention("fit", "python-topics", "--budget", "0.05", "--length", "300", "--out", str(folder), "--json")
    said = json.loads(found.stdout)
    assert (said["text"], said["held_out"], said["method"], said["tokens"]) == ("python-topics", "python-topics", "anchor", 300)
    assert said["fit_increase"] <= 0.05 and said["held_out_increase"] is not None
    assert set(said["thetas"]) == {"0", "1"} and all(float(t) == float(t) for heads in said["thetas"].values() for t in heads)
    assert "price 9 of 9" in found.stderr
    config = json.loads((folder / "config.json").read_text())
    assert config["fewer_attention"]["method"] == "anchor"
    with pytest.raises(ModelError, match="not empty"):
        attention("fit", "python-topics", "--length", "300", "--out", str(folder))


def test_fit_of_decoding_says_what_it_tried(attention, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("One fox and another one. " * 20)
    found = attention("fit", str(words), "--method", "tidal", "--length", "220", "--json")
    said = json.loads(found.stdout)
    assert said["held_out"] is None and said["tried"][0]["keys"] == 128
    assert "perplexity" in attention("fit", str(words), "--method", "tidal", "--length", "220").stdout


def test_what_makes_no_sense_is_refused(attention, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("Short.")
    for error, why, args in (
        (AttentionError, "the text has 6 tokens", ("compare", str(words), "--length", "200")),
        (AttentionError, 'no attention is named "ancor"', ("compare", "--methods", "ancor")),
        (AttentionError, "positions", ("compare", "python-topics", "--length", "600", "--methods", "local")),
        (DataError, "no-such-text", ("compare", "no-such-text")),
        (AttentionError, "the text has 6 tokens", ("fit", str(words))),
    ):
        with pytest.raises(error, match=why):
            attention(*args)
    assert attention("fit", "--method", "quest").exit_code == 2
