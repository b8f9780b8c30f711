"""Whatever executes a key set gives the same: softmax over the kept cells, in double."""

import logging
import math

import pytest
import torch

from fewer.attention import executors
from fewer.attention.executors import attend, reference
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Blocks, Cells, Chosen, Everything, Stripes, VerticalSlash
from fewer.kernels import attention_reference
from fewer.kernels.dispatch import cpu_path


def drawn(queries=140, keys=140, causal=True, dim=16, dtype=torch.float32):
    draws = torch.Generator().manual_seed(queries + keys)
    q, k, v = (torch.randn(2, n, t, dim, generator=draws).to(dtype) for n, t in ((4, queries), (2, keys), (2, keys)))
    return Inputs(q, k, v, 0.4, causal)


def some(*shape, share=0.3):
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))) < share


def sets(one):
    groups, blocks = -(-one.queries // 64), (-(-one.queries // 16), -(-one.keys // 16))
    return {
        "everything": Everything(),
        "stripes": Stripes(some(2, 4, groups, one.keys), 64, 8, 24),
        "stripes of no kernel's size": Stripes(some(2, 4, -(-one.queries // 50), one.keys), 50, 3, 7),
        "blocks": Blocks(some(2, 4, *blocks), 16),
        "vertical and slash": VerticalSlash(some(2, 4, one.keys), some(2, 4, one.keys, share=0.1)),
        "one choice for all heads": Chosen.of(some(2, 1, one.keys)),
        "a choice for each KV head": Chosen.of(some(2, 2, one.keys)),
        "a choice for each head": Chosen.of(some(2, 4, one.keys)),
        "nothing": Chosen.of(some(2, 4, one.keys, share=0.0)),
        "cells": Cells(some(2, 4, one.queries, one.keys)),
    }


def exact(one, keys):
    return attention_reference.attend(one.q.double(), one.k.double(), one.v.double(), keys.mask(one), one.scale).float()


CALLS = {
    "prompt": {},
    "more of a prompt": {"queries": 30},
    "one token": {"queries": 1},
    "first token": {"queries": 1, "keys": 1},
    "both ways": {"causal": False},
    "one for all": {"queries": 1, "causal": False},
    "heads of eight": {"dim": 8},
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("keys", sets(drawn()))
def test_a_key_set_is_attended_to_exactly(call, keys):
    one = drawn(**CALLS[call])
    kept = sets(one)[keys]
    expected = exact(one, kept)
    torch.testing.assert_close(attend(one, kept), expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(reference(one, kept), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("keys", sets(drawn()))
@pytest.mark.parametrize("call", ["prompt", "more of a prompt", "one token"])
def test_gradients_are_those_of_masked_attention(call, keys):
    one = drawn(**CALLS[call])
    kept = sets(one)[keys]
    slope = torch.randn_like(one.q)
    for tensor in (one.q, one.k, one.v):
        tensor.requires_grad_()
    made = attend(one, kept)
    made.backward(slope)
    doubles = [x.detach().double().requires_grad_() for x in (one.q, one.k, one.v)]
    wide = [x.repeat_interleave(2, 1) for x in doubles[1:]]
    mask = kept.mask(one)
    logits = (doubles[0] @ wide[0].mT * one.scale).masked_fill(~mask, -1e30)
    expected = (logits.softmax(-1) * mask) @ wide[1]
    expected.backward(slope.double())
    torch.testing.assert_close(made.double(), expected, atol=2e-5, rtol=0)
    for tensor, double in zip((one.q, one.k, one.v), doubles, strict=True):
        torch.testing.assert_close(tensor.grad.double(), double.grad, atol=1e-4, rtol=0)


@pytest.mark.parametrize("causal", [True, False])
def test_other_numbers_go_through_torch_and_that_is_said_once(caplog, causal):
    executors._say.cache_clear()
    one = drawn(dtype=torch.float64, causal=causal)
    with caplog.at_level(logging.INFO, "fewer.attention"):
        for keys in sets(one).values():
            torch.testing.assert_close(attend(one, keys), reference(one, keys))
            torch.testing.assert_close(attend(one, keys).float(), exact(one, keys), atol=1e-6, rtol=0)
    said = [record.message for record in caplog.records if "dense attention" in record.message]
    why = "the path is the reference" if cpu_path() == "reference" else "the numbers are torch.float64, not float32"
    assert said == [f"dense attention by torch, not by our kernels: {why}"]


@pytest.mark.parametrize("keys", [Everything(), Stripes(some(2, 4, 3, 140), 64, 8, 24), Blocks(some(2, 4, 9, 9), 16)])
def test_what_is_not_a_number_in_the_values_is_not_hidden(keys):
    one = drawn()
    one.v[0, 0, 0, 3] = math.nan
    assert attend(one, keys)[0, :2, 0, 3].isnan().logical_or(~keys.mask(one)[0, :2, 0, 0]).all()
    assert reference(one, keys)[0, :2, 0, 3].isnan().logical_or(~keys.mask(one)[0, :2, 0, 0]).all()
    one.v[0, 0, 0, 3] = math.inf
    assert not (reference(one, keys)[0, :2, :, 3].abs() > 1e30).logical_and(reference(one, keys)[0, :2, :, 3].isfinite()).any()
