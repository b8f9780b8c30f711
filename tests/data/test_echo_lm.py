import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewer.core import stream
from fewer.data import text
from fewer.data.trained import echo_lm as module
from fewer.data.trained.byte_tokens import encode, plain_batch
from fewer.data.trained.echo_lm import EchoRecipe, default_text_set, drawn_masks, echo_batch, echo_lm, network, second_half_nll
from fewer.errors import ModelError

SMALL = EchoRecipe(layers=1, intermediate=64, length=32, steps=400, plain=0, rate=5e-3)
BRIEF = EchoRecipe(layers=1, hidden=16, heads=2, kv_heads=1, intermediate=16, length=16, steps=21, batch=2)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path))
    return tmp_path / "trained"


@given(count=st.integers(0, 4), half=st.integers(1, 20), seed=st.integers(0, 9))
def test_an_echo_is_a_piece_of_the_text_twice(count, half, seed):
    words = "the quick brown fox jumps over the lazy dog"
    batch = echo_batch(encode(words), count, 2 * half, stream(seed))
    assert batch.shape == (count, 2 * half)
    assert torch.equal(batch[:, :half], batch[:, half:])
    assert all(bytes(row[:half].tolist()).decode() in words for row in batch)


def test_a_plain_batch_reaches_both_ends_of_the_text():
    batch = plain_batch(torch.arange(10), 200, 4, stream(0))
    assert batch.min() == 0
    assert batch.max() == 9
    assert (batch.diff(dim=1) == 1).all()


@given(count=st.integers(1, 8), half=st.integers(2, 20), seed=st.integers(0, 9))
def test_every_sequence_has_a_masked_byte(count, half, seed):
    assert drawn_masks(count, 2 * half, stream(seed)).any(1).all()


def test_first_halves_are_masked_in_three_of_ten_sequences():
    masked = drawn_masks(4000, 64, stream(0))
    assert masked[:, :32].any(1).float().mean() == pytest.approx(0.3, abs=0.03)
    assert masked[:, 32:].float().mean() == pytest.approx(0.51, abs=0.02)


def test_a_small_model_learns_to_copy(cache):
    test = encode(text.load("python-topics", "test"))
    batch = echo_batch(test, 32, SMALL.length, stream(0))
    assert second_half_nll(network(SMALL), batch) > 5
    model = echo_lm(SMALL, "python-topics")
    assert second_half_nll(model, batch) < 0.5
    assert second_half_nll(model, plain_batch(test, 32, SMALL.length, stream(0))) > 2


def test_the_price_of_copying_is_the_mean_over_the_second_half():
    model = network(BRIEF).eval()
    batch = torch.randint(256, (3, 16), generator=stream(0))
    shares = model(batch).logits.softmax(-1)
    prices = [-shares[i, at - 1, batch[i, at]].log() for i in range(3) for at in range(8, 16)]
    assert second_half_nll(model, batch) == pytest.approx(torch.stack(prices).mean().item(), rel=1e-5)


def test_a_second_call_loads_the_first_ones_weights(cache, monkeypatch):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = echo_lm(BRIEF, "python-topics")
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr(module, "train", lambda *_: pytest.fail("it was trained again"))
    second = echo_lm(BRIEF, "python-topics")
    assert not second.training
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert second.config.num_key_value_heads == 1


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_only_a_model_that_is_not_causal_sees_what_follows(attention):
    tokens = torch.randint(256, (1, 16), generator=stream(0))
    changed = tokens.clone()
    changed[0, -1] = 255 - changed[0, -1]
    for causal in (True, False):
        model = network(EchoRecipe(**{**vars(BRIEF), "causal": causal})).eval()
        model.set_attn_implementation(attention)
        same = torch.allclose(model(tokens).logits[0, 0], model(changed).logits[0, 0])
        assert same == causal


def test_a_model_that_is_not_causal_is_trained_to_tell_masked_bytes(cache):
    model = echo_lm(EchoRecipe(**{**vars(BRIEF), "causal": False}), "python-topics")
    assert model.get_input_embeddings().num_embeddings == 257
    assert model.config.is_causal is False


@pytest.mark.parametrize(
    "wrong", [{"heads": 3}, {"kv_heads": 3}, {"length": 255}, {"plain": 1.5}, {"batch": 0}, {"steps": 20}], ids=str
)
def test_a_recipe_that_makes_no_network_is_refused(wrong):
    with pytest.raises(ModelError, match=r"give|must divide"):
        EchoRecipe(**wrong)


def test_without_data_of_ones_own_the_embedded_text_is_read(monkeypatch):
    monkeypatch.delenv("FEWER_DATA", raising=False)
    assert default_text_set() == "python-topics"


def test_data_of_ones_own_comes_first(monkeypatch, shared):
    assert default_text_set() == "tinyshakespeare"
