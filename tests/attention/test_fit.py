"""Fitting anchor attention to a loss budget keeps to it, and says what it did."""

import math

import pytest
import torch
from small_llama import small_llama
from test_registered import mistral, mixed
from torch.nn.functional import cross_entropy

from fewer.attention.anchor import DENSITIES, Anchor
from fewer.attention.fit import fit
from fewer.attention.fit_prefill import THETAS, fit_anchor, measure_candidates
from fewer.attention.memory import Memory
from fewer.attention.settings import FIELD, configure, memory_of
from fewer.attention.watch import watched
from fewer.errors import AttentionError

METHOD = Anchor(block=16, step=4)


def told(model, windows=2, length=200):
    """Text that the model itself says, so that it loses by every change."""
    torch.manual_seed(1)
    start = torch.arange(windows)[:, None] + 1
    return model.generate(start, max_new_tokens=length - 1, min_new_tokens=length - 1, do_sample=True, pad_token_id=0)


@pytest.fixture(scope="module")
def model():
    return small_llama(layers=2)


@pytest.fixture(scope="module")
def texts(model):
    model.set_attn_implementation("sdpa")
    return told(model, 4).split(2)


@pytest.fixture(scope="module")
def candidates(model, texts):
    return measure_candidates(model, texts[0], METHOD)


@torch.no_grad()
def nats(model, tokens):
    logits = model(tokens).logits[:, :-1]
    return float(cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()))


def test_the_budget_is_kept_and_what_is_reported_is_measured_again(model, texts, candidates):
    dense, other = (nats(configure(model, "dense"), text) for text in texts)
    said = []
    found = fit_anchor(model, texts[0], texts[1], 0.05, METHOD, candidates=candidates, progress=said.append)
    assert math.expm1(nats(model, texts[0]) - dense) == pytest.approx(found.fit_increase, abs=1e-4)
    assert math.expm1(nats(model, texts[1]) - other) == pytest.approx(found.held_out_increase, abs=1e-4)
    assert found.dense_perplexity == pytest.approx(math.exp(other), rel=1e-4)
    assert found.fit_increase <= 0.05 and found.density < 1.0 and (found.budget, found.tokens) == (0.05, 200)
    assert sorted(found.thetas) == [0, 1] and {len(heads) for heads in found.thetas.values()} == {6}
    assert {theta for heads in found.thetas.values() for theta in heads} <= set(THETAS)
    shares = []
    with watched(model, lambda inputs, _: shares.append(own(inputs).density(inputs))), torch.no_grad():

        def own(inputs):
            return Anchor(found.thetas[inputs.layer], 16, 4).choose(inputs, Memory())

        for window in texts[0]:
            model(window[None])
    assert found.density == pytest.approx(sum(shares) / len(shares), abs=1e-4)
    assert "budget +5.0%" in str(found) and "on the other" in str(found) and len(said) == 9
    assert DENSITIES not in memory_of(model.config)


def test_a_larger_budget_buys_more_sparsity(model, texts, candidates):
    found = [fit_anchor(model, texts[0], loss_budget=budget, base=METHOD, candidates=candidates) for budget in (0.01, 0.1, 1e9)]
    assert found[0].density >= found[1].density >= found[2].density and found[0].density > found[2].density
    assert {theta for heads in found[2].thetas.values() for theta in heads} == {-math.inf}


def test_without_any_budget_it_is_dense_at_worst(model, texts, candidates):
    found = fit_anchor(model, texts[0], loss_budget=0.0, base=METHOD, candidates=candidates)
    assert found.fit_increase <= 0.0
    worst = fit_anchor(model, texts[0], texts[1], 0.0, METHOD, thetas=(-math.inf,))
    assert worst.thetas == {0: (math.inf,) * 6, 1: (math.inf,) * 6}
    assert worst.density == 1.0 and worst.fit_increase == 0.0 and abs(worst.held_out_increase) < 1e-4
    dense = nats(model, texts[0])
    assert dense == pytest.approx(nats(configure(model, "dense"), texts[0]), abs=1e-5)


def test_candidates_are_measured_and_the_model_left_learning(model, texts, candidates):
    damage, density, layers = candidates
    assert damage.shape == density.shape == (2, 6, len(THETAS)) and layers == (0, 1)
    assert (density.diff(dim=-1) >= 0).all() and torch.equal(density[..., -1], torch.ones(2, 6).double())
    assert (damage[..., -1] < 1e-4).all() and (damage[..., 0] > 10 * damage[..., -1]).all()
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    model.lm_head.weight.requires_grad_(False)
    measure_candidates(model, texts[0][:1, :80], METHOD, (0.0,))
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    model.lm_head.weight.requires_grad_(True)


def test_the_damage_of_the_last_layer_is_the_gradient_of_its_output_times_the_change(texts):
    model = small_llama(layers=1)
    tokens, seen, slopes = texts[0][:1], [], []
    found = measure_candidates(model, tokens, METHOD, (1.0,)).damage[0, :, 0]
    configure(model, "dense")
    with watched(model, lambda inputs, out: seen.append(inputs)), torch.no_grad():
        model(tokens)
    project = model.model.layers[0].self_attn.o_proj
    handle = project.register_full_backward_pre_hook(lambda _, grads: slopes.append(grads[0] @ project.weight))
    logits = model(tokens).logits[0, :-1]
    cross_entropy(logits, tokens[0, 1:], reduction="sum").backward()
    handle.remove()
    with torch.no_grad():
        change = Anchor(1.0, 16, 4).attend(seen[0], Memory()) - Anchor(math.inf, 16, 4).attend(seen[0], Memory())
    by_token = (change * slopes[0].view(1, 200, 6, 16).transpose(1, 2)).sum(-1).abs()
    torch.testing.assert_close(found.float(), by_token.mean((0, 2)), atol=1e-4, rtol=1e-2)


def test_where_no_kernel_can_run_it_fits_as_well(model, texts):
    found = fit_anchor(model, texts[0][:1, :100], loss_budget=0.2, base=Anchor(block=8, step=2))
    assert 0.0 < found.density < 1.0 and found.fit_increase <= 0.2


def test_layers_with_a_window_are_left_as_they_are():
    some = mixed()
    found = fit_anchor(some, told(some, 1, 100), loss_budget=0.1, base=METHOD)
    assert sorted(found.thetas) == [0, 2]
    assert getattr(some.config, FIELD)["by_layer"]["2"] == {"theta": found.thetas[2]}
    every = mistral()
    with pytest.raises(AttentionError, match="nothing to fit"):
        fit_anchor(every, told(every, 1, 100), base=METHOD)


def test_what_cannot_be_fitted_is_refused(model, texts):
    with pytest.raises(AttentionError, match="at least 0"):
        fit_anchor(model, texts[0], loss_budget=-0.1, base=METHOD)
    for tokens in (texts[0][:, :64], texts[0][0]):
        with pytest.raises(AttentionError, match="longer than a group of 64"):
            fit_anchor(model, tokens, base=METHOD)
    with pytest.raises(AttentionError, match="cannot be switched"):
        fit_anchor(torch.nn.Linear(2, 2), texts[0], base=METHOD)
    with pytest.raises(AttentionError, match='"anchor" or "tidal"'):
        fit(model, texts[0], method="window")
    with pytest.raises(AttentionError, match="tokenizer"):
        fit(model, "words")


class Letters:
    """A tokenizer: a token a letter."""

    def __call__(self, text, return_tensors):
        assert return_tensors == "pt"
        return type("Encoded", (), {"input_ids": torch.tensor([[ord(letter) % 64 for letter in text]])})


def test_words_are_cut_into_windows(model):
    text = "".join(chr(ord("a") + i % 7) for i in range(900))
    found = fit(
        model, text, 10.0, held_out=text[300:], tokenizer=Letters(), length=260, windows=2, thetas=(-math.inf, math.inf)
    )
    assert found.tokens == 260 and found.held_out_increase is not None and found.density < 1.0
    with pytest.raises(AttentionError, match="900 tokens; 4 windows of 260 need 1040"):
        fit(model, text, tokenizer=Letters(), length=260, windows=4)
