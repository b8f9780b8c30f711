import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from fewer.errors import MeasureError
from fewer.measure import classification, perplexity, quality, windows


@pytest.fixture(scope="module")
def llama():
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, attention_dropout=0.5))


class Fixed(nn.Module):
    """A language model whose logits are given."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, input_ids, use_cache):
        return SimpleNamespace(logits=self.logits.expand(*input_ids.shape, -1))


ids = torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(1))


def test_perplexity_is_transformers_own_loss(llama):
    found = perplexity(llama, ids)
    with torch.no_grad():
        losses = [llama.eval()(input_ids=window[None], labels=window[None]).loss.item() for window in ids]
    assert found.window_nll == pytest.approx(losses, rel=1e-5)
    assert found.nll == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(found.nll))
    assert found.tokens == 3 * 11


@pytest.mark.parametrize("at_once", [1, 120, 10**9])
def test_slices_and_batches_change_nothing(llama, monkeypatch, at_once):
    whole = perplexity(llama, ids)
    monkeypatch.setattr(quality, "_LOGITS_AT_ONCE", at_once)
    assert perplexity(llama, ids, batch=2).window_nll == pytest.approx(whole.window_nll, rel=1e-5)


def test_a_training_model_is_read_without_dropout_and_trains_on_after(llama):
    quiet = perplexity(llama.eval(), ids)
    llama.train()
    assert perplexity(llama, ids) == quiet
    assert all(module.training for module in llama.modules())


def test_a_uniform_model_has_the_vocabulary_as_its_perplexity():
    assert perplexity(Fixed(torch.zeros(50)), ids).perplexity == pytest.approx(50)


def test_half_precision_logits_are_summed_in_float32():
    logits = torch.randn(50, generator=torch.Generator().manual_seed(2)).bfloat16()
    found = perplexity(Fixed(logits), ids)
    assert found.nll == pytest.approx(-logits.double().log_softmax(0)[ids[:, 1:]].mean().item(), rel=1e-6)


def test_a_huge_loss_is_reported_and_an_infinite_one_as_infinite():
    wrong = torch.full((50,), 1e5)
    wrong[ids.flatten()] = 0
    assert perplexity(Fixed(wrong), ids)[:2] == (math.inf, pytest.approx(1e5, rel=1e-3))
    impossible = torch.zeros(50)
    impossible[ids[0, 1]] = -math.inf
    assert perplexity(Fixed(impossible), ids)[:2] == (math.inf, math.inf)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_plus_infinity_are_errors_that_name_the_window(bad):
    logits = torch.zeros(50)
    logits[7] = bad
    with pytest.raises(MeasureError, match="window 0"):
        perplexity(Fixed(logits), ids)


@pytest.mark.parametrize(("shape", "batch"), [((3, 1), 1), ((0, 5), 1), ((5,), 1), ((2, 5), 0)])
def test_windows_with_nothing_to_predict_are_an_error(llama, shape, batch):
    with pytest.raises(MeasureError):
        perplexity(llama, torch.zeros(shape, dtype=torch.long), batch)


@given(st.integers(0, 60), st.integers(1, 20))
def test_windows_are_the_text_in_order_without_overlap(tokens, length):
    text = torch.arange(tokens)
    if tokens < length:
        with pytest.raises(MeasureError, match=f"{tokens} tokens"):
            windows(text, length)
    else:
        cut = windows(text, length)
        assert cut.shape == (tokens // length, length)
        assert torch.equal(cut.flatten(), text[: cut.numel()])
        assert torch.equal(windows(text, length, count=1), cut[:1])


def test_a_text_too_short_for_the_count_says_what_it_needs():
    with pytest.raises(MeasureError, match="3 windows of 4 need 12"):
        windows(torch.arange(11), 4, count=3)


def numpy_ece(shares, labels, bins=15):
    confidence, right = shares.max(1), shares.argmax(1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum((bin_of == b).mean() * abs(right[bin_of == b].mean() - confidence[bin_of == b].mean()) for b in set(bin_of))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(1, 60), st.sampled_from([0.1, 1.0, 10.0, 1000.0]), st.integers(0, 99))
def test_classification_agrees_with_numpy(classes, samples, scale, seed):
    rng = np.random.default_rng(seed)
    logits, labels = scale * rng.normal(size=(samples, classes)), rng.integers(classes, size=samples)
    found = classification(torch.from_numpy(logits), torch.from_numpy(labels))
    logs = logits - logits.max(1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    right = logits.argmax(1) == labels
    assert found.accuracy == pytest.approx(right.mean())
    assert found.nll == pytest.approx(-logs[np.arange(samples), labels].mean())
    assert found.ece == pytest.approx(numpy_ece(np.exp(logs), labels), abs=1e-6)
    assert found.worst_class == pytest.approx(min(right[labels == c].mean() for c in set(labels)))


def test_certain_and_nearly_certain_samples_share_the_last_bin():
    shares = torch.tensor([[1.0, 0.0], [0.95, 0.05]], dtype=torch.float64)
    found = classification(shares, torch.tensor([1, 0]), probabilities=True)
    assert found.ece == pytest.approx(abs(0.5 - 0.975))
    assert found.nll == math.inf


def test_probabilities_and_their_logits_give_the_same():
    logits = torch.randn(40, 3, generator=torch.Generator().manual_seed(3)).double()
    labels = torch.arange(40) % 3
    assert classification(logits.softmax(1), labels, probabilities=True) == pytest.approx(classification(logits, labels))


@pytest.mark.parametrize(
    ("scores", "labels", "probabilities", "says"),
    [
        (torch.tensor([[0.0, math.nan]]), torch.tensor([0]), False, "sample 0"),
        (torch.tensor([[0.0, 1.0], [math.inf, 0.0]]), torch.tensor([0, 1]), False, "sample 1"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), False, "3 classes"),
        (torch.zeros(2, 3), torch.tensor([0]), False, "labels"),
        (torch.zeros(0, 3), torch.zeros(0), False, "samples"),
        (torch.tensor([[2.0, -1.0]]), torch.tensor([0]), True, "not probabilities"),
        (torch.tensor([[0.9, 0.9]]), torch.tensor([0]), True, "not probabilities"),
    ],
)
def test_outputs_that_cannot_be_judged_are_an_error(scores, labels, probabilities, says):
    with pytest.raises(MeasureError, match=says):
        classification(scores, labels, probabilities)
