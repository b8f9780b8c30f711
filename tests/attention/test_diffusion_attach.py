"""Attention code that is not transformers' own: replaced while a layer runs, in modules built as LLaDA's and Dream's are."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from fewer.attention.dense import DenseAttention
from fewer.attention.diffusion import LLaDA, attach, memory_of
from fewer.attention.diffusion.memory_of import ATTACHED
from fewer.attention.sparsed import SparseD
from fewer.errors import AttentionError


class LLaDALike(nn.Module):
    """A block that computes attention in a method of its own, with a layer_id and fewer KV heads."""

    def __init__(self, number, width=16, heads=4, kv_heads=2):
        super().__init__()
        self.layer_id, self.heads, self.kv_heads = number, heads, kv_heads
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width * kv_heads // heads)
        self.out = nn.Linear(width, width)

    def _scaled_dot_product_attention(self, q, k, v, attn_mask=None, dropout_p=0.0):
        k, v = (x.repeat_interleave(self.heads // self.kv_heads, dim=1) for x in (k, v))
        return scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=False)

    def forward(self, x):
        q, (k, v) = self.q(x), self.kv(x).chunk(2, -1)
        q, k, v = (y.unflatten(-1, (-1, 4)).transpose(1, 2) for y in (q, k, v))
        return x + self.out(self._scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class DreamLike(nn.Module):
    """A decoder layer around an attention module with a layer_idx, which calls torch by its full name."""

    class Attention(nn.Module):
        def __init__(self, number, mask=None):
            super().__init__()
            self.layer_idx, self.mask, self.proj = number, mask, nn.Linear(16, 48)

        def forward(self, x):
            q, k, v = (y.unflatten(-1, (4, 4)).transpose(1, 2) for y in self.proj(x).chunk(3, -1))
            out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, is_causal=False)
            return out.transpose(1, 2).flatten(2), None

    def __init__(self, number):
        super().__init__()
        self.self_attn = DreamLike.Attention(number)

    def forward(self, x):
        return x + self.self_attn(x)[0]


class Model(nn.Module):
    def __init__(self, layer, count=2):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(10, 16), nn.Linear(16, 10)
        self.places = nn.Embedding(64, 16)
        self.layers = nn.ModuleList(layer(number) for number in range(count))
        self.config = type("Config", (), {"mask_token_id": 9})()

    def forward(self, tokens):
        x = self.embedding(tokens) + self.places.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return type("Output", (), {"logits": self.head(x)})()


PROMPT = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]])


@pytest.mark.parametrize("layer", [LLaDALike, DreamLike])
def test_every_layer_has_the_method_until_it_is_removed(layer):
    model = Model(layer).eval()
    before, sampler = model(PROMPT).logits, LLaDA(steps=8, length=24, block=24)
    dense = sampler(model, PROMPT)
    with attach(model, DenseAttention()):
        assert torch.allclose(model(PROMPT).logits, before, atol=1e-5)
        assert torch.equal(sampler(model, PROMPT), dense)
    method = SparseD(select=0.1, block=4, skip=None)
    with attach(model, method) as attached:
        assert memory_of(model) is attached.memory
        sparse = sampler(model, PROMPT)
        assert (sparse != 9).all() and method.spent(attached.memory).density < 0.6
        assert sorted(key[1] for key in attached.memory) == [0, 1]
    assert torch.equal(model(PROMPT).logits, before) and model not in ATTACHED


def test_an_error_in_a_layer_leaves_torch_as_it_was():
    model = Model(LLaDALike).eval()
    with attach(model, SparseD()), pytest.raises(AttentionError, match="no sampler has said"):
        model(PROMPT)
    q = torch.randn(1, 1, 3, 4)
    assert torch.allclose(scaled_dot_product_attention(q, q, q), (q @ q.mT / math.sqrt(4)).softmax(-1) @ q)


def test_layers_may_be_given_where_none_has_a_number():
    class Plain(nn.Module):
        def __init__(self, number):
            super().__init__()

        def forward(self, x):
            q = x.unflatten(-1, (4, 4)).transpose(1, 2)
            return scaled_dot_product_attention(q, q, q).transpose(1, 2).flatten(2)

    model = Model(Plain).eval()
    with pytest.raises(AttentionError, match="give its attention modules"):
        attach(model, SparseD())
    with attach(model, SparseD(block=4, skip=None), model.layers) as attached:
        LLaDA(steps=2, length=8, block=8)(model, PROMPT)
    assert len(attached.memory) == 2


def test_a_layer_that_does_not_call_torch_and_masks_that_leave_keys_out_are_refused():
    class Eager(LLaDALike):
        def _scaled_dot_product_attention(self, q, k, v, attn_mask=None, dropout_p=0.0):
            return q

    with attach(Model(Eager).eval(), SparseD()) as attached, pytest.raises(AttentionError, match="0 times, not once"):
        attached.model(PROMPT)
    model = Model(DreamLike).eval()
    model.layers[1].self_attn.mask = torch.arange(8) < 5
    with attach(model, DenseAttention()), pytest.raises(AttentionError, match="leaves keys out"):
        model(PROMPT)
    model.layers[1].self_attn.mask = torch.zeros(8, 8)
    with attach(model, DenseAttention()):
        model(PROMPT)
        with pytest.raises(AttentionError, match="attached already"):
            attach(model, DenseAttention())
