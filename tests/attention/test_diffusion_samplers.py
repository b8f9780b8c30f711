"""The samplers: how many tokens each step tells, which ones, and that the attention is told of the steps."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fewer.attention import configure
from fewer.attention.diffusion import Denoising, Dream, LLaDA, memory_of
from fewer.data.trained.echo_lm import MASK, EchoRecipe, network
from fewer.errors import AttentionError

RECIPE = EchoRecipe(layers=2, hidden=16, heads=2, intermediate=16, length=64, causal=False)


def tiny():
    model = network(RECIPE).eval()
    model.config.mask_token_id = MASK
    return model


class Fixed(nn.Module):
    """The same logits at every step; notes what it was shown."""

    def __init__(self, logits, mask=9):
        super().__init__()
        self.logits, self.config, self.shown = logits, SimpleNamespace(mask_token_id=mask), []

    def forward(self, tokens):
        self.shown.append(tokens.clone())
        return SimpleNamespace(logits=self.logits.expand(len(tokens), -1, -1))


def masks(model):
    return [(shown == 9).sum(1).tolist() for shown in model.shown]


def test_llada_tells_the_surest_of_a_block_first_and_finishes_it_before_the_next():
    logits = torch.zeros(10, 9)
    for place, (token, height) in enumerate([(1, 9), (1, 9), (3, 1), (4, 3), (5, 2), (6, 4), (7, 8), (8, 7), (1, 6), (2, 5)]):
        logits[place, token] = height
    model = Fixed(logits)
    out = LLaDA(steps=4, length=8, block=4)(model, torch.tensor([[1, 1]]))
    assert out.tolist() == [[1, 1, 3, 4, 5, 6, 7, 8, 1, 2]]
    told = [(shown[0] != 9).nonzero().flatten().tolist() for shown in model.shown]
    assert told == [[0, 1], [0, 1, 3, 5], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6, 7]]


def test_llada_tells_what_does_not_divide_in_the_first_steps():
    model = Fixed(torch.randn(8, 9))
    LLaDA(steps=3, length=8, block=8)(model, torch.zeros(2, 0, dtype=torch.long))
    assert masks(model) == [[8, 8], [5, 5], [2, 2]]


def test_llada_draws_by_temperature():
    draws = torch.Generator().manual_seed(0)
    model = Fixed(torch.tensor([[0.0, 1.0]]).expand(4000, 2))
    drawn = LLaDA(steps=1, length=4000, block=4000, temperature=1.0)(model, torch.zeros(1, 0, dtype=torch.long), None, draws)
    assert float(drawn.float().mean()) == pytest.approx(0.731, abs=0.03)


@pytest.mark.parametrize("order", ["random", "probability", "margin", "entropy"])
@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_dream_tells_every_token_by_the_last_step(order, temperature):
    model = Fixed(torch.randn(20, 9, generator=torch.Generator().manual_seed(1)))
    sampler = Dream(steps=5, length=16, temperature=temperature, order=order)
    out = sampler(model, torch.zeros(2, 4, dtype=torch.long), generator=torch.Generator().manual_seed(2))
    assert (out != 9).all() and len(model.shown) == 5
    if order != "random":
        # 16 x (1 - s / t) rounded down, t on a line from 1 to a thousandth
        assert masks(model) == [[n, n] for n in (16, 13, 10, 7, 4)]


def test_the_mask_token_is_no_answer():
    logits = torch.zeros(4, 10)
    logits[:, 9], logits[:, 2] = 5, 1
    for sampler in (LLaDA(steps=2, length=4, block=4), Dream(steps=2, length=4, temperature=0.0)):
        assert sampler(Fixed(logits), torch.zeros(1, 0, dtype=torch.long)).tolist() == [[2, 2, 2, 2]]


def test_dream_reads_a_token_at_the_place_before_it():
    logits = torch.eye(9)[torch.tensor([3, 1, 4, 1, 5])] * 20
    model = Fixed(logits)
    prompt = torch.tensor([[2, 2]])
    sampler = Dream(steps=2, length=3, temperature=0.0)
    assert sampler(model, prompt).tolist() == [[2, 2, 1, 4, 1]]
    assert replace(sampler, shifted=False)(model, prompt).tolist() == [[2, 2, 4, 1, 5]]


def test_top_p_leaves_the_fewest_tokens_that_hold_the_share():
    chances = torch.tensor([0.5, 0.3, 0.15, 0.05])
    kept = Dream(temperature=1.0, top_p=0.7)._nucleus(chances.log()[None, None])[0, 0]
    assert torch.allclose(kept, torch.tensor([0.5, 0.3, 0, 0]) / 0.8)


def test_the_surest_by_margin_and_by_entropy_differ():
    flat, peaked = [0.4, 0.2, 0.2, 0.2], [0.5, 0.45, 0.05, 0.0001]
    model = Fixed(torch.tensor([flat, peaked]).log())
    none = torch.zeros(1, 0, dtype=torch.long)
    for order, first in (("margin", 0), ("entropy", 1)):
        Dream(steps=2, length=2, temperature=0.0, top_p=1.0, order=order, shifted=False)(model, none, 9)
        assert (model.shown[-1][0] == 9).tolist() == [True, True]  # int(2 x (1 - s / t)) is 0 in the first of two steps
        sampler = Dream(steps=1, length=2, temperature=0.0, top_p=1.0, order=order, shifted=False)
        confidence = sampler._confidence(model.logits.softmax(-1)[None], torch.tensor([[0, 0]]))
        assert int(confidence.argmax()) == first


def test_a_transformers_model_generates_with_its_pattern_and_dense_blocks_change_nothing():
    model, prompt = tiny(), torch.arange(32)[None].repeat(2, 1)
    sampler = LLaDA(steps=8, length=32, block=32)
    dense = sampler(model, prompt)
    configure(model, "sparsed", block=8, select=1.0)
    assert torch.equal(sampler(model, prompt), dense)
    configure(model, "sparsed", block=8, select=0.2, skip=None)
    sparse = sampler(model, prompt)
    assert (sparse != MASK).all() and not torch.equal(sparse, dense)
    assert Denoising not in memory_of(model)
    with pytest.raises(AttentionError, match="no sampler has said"):
        model(prompt)


def test_a_padded_batch_is_refused_rather_than_mixed():
    model = configure(tiny(), "sparsed", block=8)
    real = torch.ones(2, 32, dtype=torch.long)
    real[0, :5] = 0
    Denoising(0, 8, 16).tell(memory_of(model))
    with pytest.raises(AttentionError, match="one by one"):
        model(torch.zeros(2, 32, dtype=torch.long), attention_mask=real)


def test_a_model_that_is_bidirectional_sees_what_comes_after():
    model, tokens = tiny(), torch.arange(16)[None]
    other = tokens.clone()
    other[0, -1] = 77
    for name in ("sdpa", "fewer_dense"):
        model.set_attn_implementation(name)
        assert not torch.allclose(model(tokens).logits[0, 0], model(other).logits[0, 0])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: LLaDA(steps=7, length=8, block=4), "must divide steps"),
        (lambda m: LLaDA(length=0), "at least 1"),
        (lambda m: LLaDA(temperature=-1.0), "0 or more"),
        (lambda m: Dream(order="best"), "order is"),
        (lambda m: Dream(top_p=0.0), "top_p"),
        (lambda m: LLaDA()(m, torch.tensor([[1, 9]])), "without the mask token 9"),
        (lambda m: LLaDA()(m, torch.tensor([1])), r"\[batch, tokens\]"),
        (lambda m: LLaDA()(nn.Linear(1, 1), torch.tensor([[1]])), "names no mask_token_id"),
    ],
)
def test_what_a_sampler_cannot_do_is_said(call, said):
    with pytest.raises(AttentionError, match=said):
        call(Fixed(torch.zeros(8, 9)))
