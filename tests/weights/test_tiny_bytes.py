import logging
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer.data import text
from fewer.errors import DataError, ModelError
from fewer.weights.tasks import tiny_bytes
from fewer.weights.tasks.tiny_bytes import Recipe, encode, trained

SHORT = Recipe(steps=2, batch=1, warm_up=1)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path))
    return tmp_path / "trained"


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Training is left out; the texts that it would have seen are listed."""
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(tiny_bytes, "train", lambda model, tokens, recipe: seen.append(tokens))
    return seen


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters())


def kept(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.safetensors"))


@given(st.text())
def test_tokens_are_the_bytes_of_the_text(words):
    tokens = encode(words)
    assert tokens.dtype == torch.long
    assert bytes(tokens.tolist()).decode() == words


@given(st.integers(1, 50), st.integers(51, 500))
def test_the_rate_rises_to_its_highest_and_falls_to_zero(warm_up, steps):
    recipe = Recipe(steps=steps, warm_up=warm_up)
    factors = [recipe.factor(step) for step in range(steps + 1)]
    assert max(factors) == factors[warm_up] == 1
    assert factors[:warm_up] == sorted(factors[:warm_up])
    assert factors[warm_up:] == sorted(factors[warm_up:], reverse=True)
    assert factors[-1] == pytest.approx(0, abs=1e-12)


def test_training_gives_the_same_weights_again_and_leaves_the_random_state(cache):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = trained("python-topics", SHORT)
    assert torch.equal(torch.get_rng_state(), before)
    assert not first.training
    kept(cache)[0].unlink()
    assert torch.equal(weights(trained("python-topics", SHORT)), weights(first))
    other = Recipe(steps=2, batch=1, warm_up=1, seed=1)
    assert not torch.equal(weights(trained("python-topics", other)), weights(first))


def test_a_second_call_loads_what_the_first_one_trained(cache, monkeypatch, caplog):
    first = trained("python-topics", SHORT)
    monkeypatch.setattr(tiny_bytes, "train", lambda *_: pytest.fail("it was trained again"))
    second = trained("python-topics", SHORT)
    assert torch.equal(weights(first), weights(second))
    assert second.lm_head.weight is second.model.embed_tokens.weight
    assert [path.suffix for path in cache.iterdir() if not path.name.startswith(".")] == [".safetensors"]
    assert not caplog.records


def test_other_texts_and_recipes_are_kept_under_other_names(cache, untrained):
    for text_set, recipe in (("python-topics", SHORT), ("python-topics", Recipe()), ("python-docstrings", SHORT)):
        trained(text_set, recipe)
    assert len(kept(cache)) == len(untrained) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1000],
        lambda content: content[:-1000] + bytes(byte ^ 1 for byte in content[-1000:]),
        lambda content: b"\xff" * len(content),
    ],
    ids=["empty", "cut off", "bits flipped", "garbage"],
)
def test_a_damaged_file_is_trained_again_with_a_message(cache, untrained, caplog, damage):
    first = trained("python-topics", SHORT)
    (path,) = kept(cache)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    with caplog.at_level(logging.INFO, logger="fewer"):
        second = trained("python-topics", SHORT)
    assert len(untrained) == 2
    assert torch.equal(weights(first), weights(second))
    assert path.read_bytes() == content
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert f"{path} is damaged" in caplog.text


def test_a_training_that_fails_leaves_nothing_in_the_cache(cache, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tiny_bytes, "train", fail)
    with pytest.raises(KeyboardInterrupt):
        trained("python-topics", SHORT)
    assert kept(cache) == []


def test_a_cache_that_cannot_be_written_is_named_before_a_minute_of_training(tmp_path, monkeypatch, untrained):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="Set FEWER_CACHE to another folder"):
        trained("python-topics", SHORT)
    assert untrained == []


def test_an_unknown_text_is_refused(cache):
    with pytest.raises(DataError, match="python-poems"):
        trained("python-poems", SHORT)


@pytest.mark.parametrize("name", ["python-topics", "python-docstrings"])
def test_no_held_out_paragraph_is_in_what_it_is_trained_on(cache, untrained, name):
    trained(name, SHORT)
    seen = bytes(untrained[0].tolist()).decode()
    assert seen == text.load(name, "calibration")
    paragraphs = {block for block in text.load(name, "test").split("\n\n") if len(block) > 200}
    assert len(paragraphs) > 50
    assert not [block for block in paragraphs if block in seen]
