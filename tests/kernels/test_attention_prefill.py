"""Attention of many queries equals plain attention in double, on every path: to all keys, to stripes, and anchor attention."""

import math

import pytest
import torch

from fewer.kernels import attention_prefill, attention_reference
from fewer.kernels.attention_prefill import anchor, dense, refusal, stripes, stripes_refusal
from fewer.kernels.cpu.attention.matrix import usable
from fewer.kernels.dispatch import attention_path, cpu_path, has_avx512

PATHS = [
    "portable",
    pytest.param("avx512", marks=pytest.mark.skipif(not has_avx512(), reason="no AVX-512")),
    pytest.param("amx", marks=pytest.mark.skipif(not (has_avx512() and usable()), reason="no AMX")),
]
SHAPES = [
    # batch, heads, KV heads, queries, keys, dim
    (1, 1, 1, 1, 1, 16),
    (1, 2, 2, 2, 2, 16),
    (2, 4, 2, 65, 65, 32),
    (1, 4, 1, 257, 257, 64),
    (1, 3, 3, 300, 300, 80),
    (1, 2, 1, 700, 700, 128),
    (2, 3, 1, 96, 96, 48),
    (1, 2, 1, 1, 200, 32),
    (2, 2, 1, 5, 131, 64),
    (1, 3, 1, 129, 192, 16),
    (1, 1, 1, 520, 700, 16),
]
CLOSE = {"portable": 1e-5, "avx512": 1e-5, "amx": 2e-5}
"""AMX weighs values by two parts of bfloat16: up to 2^-17 of a value is lost, 1.1e-5 where that is the largest of thousands."""


@pytest.fixture(scope="module", params=PATHS)
def path(request):
    choices = cpu_path, attention_path
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWER_KERNELS", request.param)
        for choice in choices:
            choice.cache_clear()
        yield request.param
    for choice in choices:
        choice.cache_clear()


def drawn(batch, heads, kv_heads, queries, keys, dim, seed=0):
    """Standard normal, laid out as projections give them: views of [batch, tokens, heads, dim]."""
    draws = torch.Generator().manual_seed(seed)
    sizes = (queries, heads), (keys, kv_heads), (keys, kv_heads)
    return [torch.randn(batch, tokens, n, dim, generator=draws).transpose(1, 2) for tokens, n in sizes]


def exact(q, k, v, kept, scale=None):
    return attention_reference.attend(q.double(), k.double(), v.double(), kept, scale).float()


def causal(queries, keys):
    return torch.arange(keys) <= (torch.arange(queries) + keys - queries)[:, None]


def far_columns(batch, heads, n, group, share, seed=0):
    groups = -(-n // group)
    return torch.rand(batch, heads, groups, n, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize("shape", SHAPES)
def test_dense_attention_equals_plain_attention_in_double(path, shape):
    q, k, v = drawn(*shape)
    scale = shape[-1] ** -0.5
    below = causal(*shape[3:5])
    torch.testing.assert_close(dense(q, k, v, scale), exact(q, k, v, below[None, None]), atol=CLOSE[path], rtol=0)
    everything = torch.ones_like(below)[None, None]
    torch.testing.assert_close(dense(q, k, v, scale, causal=False), exact(q, k, v, everything), atol=CLOSE[path], rtol=0)


def test_without_an_order_there_may_be_more_queries_than_keys(path):
    q, k, v = drawn(1, 4, 2, 150, 33, 32)
    everything = torch.ones(1, 1, 150, 33, dtype=torch.bool)
    torch.testing.assert_close(dense(q, k, v, 0.3, causal=False), exact(q, k, v, everything, 0.3), atol=CLOSE[path], rtol=0)


def test_tensors_may_lie_in_memory_as_they_like(path):
    q, k, v = drawn(2, 4, 2, 70, 70, 32)
    expected = dense(q, k, v, 0.2)
    assert expected.transpose(1, 2).is_contiguous()
    sliced = [torch.cat([x, x], 3)[..., :32] for x in (q, k, v)]
    ragged = [x.mT.contiguous().mT for x in (q, k, v)]  # the last axis with gaps
    for other in ([x.contiguous() for x in (q, k, v)], sliced, ragged):
        assert torch.equal(dense(*other, 0.2), expected)
    one = k[:1].expand(2, -1, -1, -1)
    assert torch.equal(dense(q, one, one, 0.2), dense(q, one.contiguous(), one.contiguous(), 0.2))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same(path, threads):
    q, k, v = drawn(2, 4, 2, 520, 520, 16)
    thetas, columns = torch.full((4,), 2.0), far_columns(2, 4, 520, 64, 0.2)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = dense(q, k, v, 0.25), *anchor(q, k, v, 0.25, thetas, 32, 2), stripes(q, k, v, 0.25, columns, 64, 8, 8)
        torch.set_num_threads(threads)
        shared = dense(q, k, v, 0.25), *anchor(q, k, v, 0.25, thetas, 32, 2), stripes(q, k, v, 0.25, columns, 64, 8, 8)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(alone, shared, strict=True))


def test_large_logits_do_not_overflow(path):
    q, k, v = drawn(1, 2, 1, 100, 100, 16)
    torch.testing.assert_close(dense(q * 1000, k, v, 0.25), exact(q * 1000, k, v, causal(100, 100)), atol=1e-3, rtol=0)
    far_down = k.clone()
    far_down[:, :, 50:] *= 1e-3
    made = dense(q * 1e4, far_down, v, 0.25)
    assert made.isfinite().all()
    torch.testing.assert_close(made, exact(q * 1e4, far_down, v, causal(100, 100)), atol=1e-2, rtol=0)


def test_not_a_number_is_seen_in_the_result_where_torch_shows_it(path):
    q, k, v = drawn(1, 1, 1, 70, 70, 16)
    with_nan, with_infinity = q.clone(), k.clone()
    with_nan[0, 0, 5, 3], with_infinity[0, 0, 30, 2] = math.nan, math.inf
    for operands in ((with_nan, k, v), (torch.full_like(q, math.nan), k, v)):
        assert torch.equal(dense(*operands, 0.25).isnan(), exact(*operands, causal(70, 70)).isnan())
    bad = exact(q, with_infinity, v, causal(70, 70)).isnan()
    made = dense(q, with_infinity, v, 0.25).isnan()
    assert bad.any() and made[bad].all()  # AMX splits numbers: minus infinity is none there either
    assert not made[:, :, :30].any()


@pytest.mark.parametrize(
    ("shape", "group", "init", "local"),
    [
        ((1, 1, 1, 1, 1, 16), 64, 4, 4),
        ((1, 2, 1, 64, 64, 16), 64, 0, 0),
        ((2, 4, 1, 65, 65, 32), 64, 1, 0),
        ((1, 3, 3, 257, 257, 80), 64, 16, 16),
        ((1, 2, 2, 300, 300, 64), 128, 200, 7),  # first and near keys overlap
        ((1, 4, 2, 700, 700, 16), 64, 5, 130),
        ((1, 2, 1, 700, 700, 128), 256, 0, 64),
    ],
)
def test_stripes_attend_to_the_columns_that_are_given_and_the_nearest(path, shape, group, init, local):
    q, k, v = drawn(*shape)
    batch, heads, _, n = shape[:4]
    at = torch.arange(n)
    near = (at >= (at // group * group - local)[:, None]) | (at < init)
    for share in (0.0, 0.1, 1.0):  # some, those that are always kept among them
        columns = far_columns(batch, heads, n, group, share)
        columns[0, 0] = False
        kept = (columns.repeat_interleave(group, 2)[:, :, :n] | near) & causal(n, n)
        made = stripes(q, k, v, 0.2, columns, group, init, local)
        torch.testing.assert_close(made, exact(q, k, v, kept, 0.2), atol=CLOSE[path], rtol=0)


ANCHORS = [
    # shape, block, step
    ((1, 1, 1, 1, 1, 16), 64, 1),
    ((1, 2, 1, 65, 65, 16), 64, 1),
    ((2, 4, 2, 257, 257, 32), 16, 4),
    ((1, 4, 1, 300, 300, 64), 32, 2),
    ((1, 3, 1, 700, 700, 16), 64, 3),
    ((1, 3, 1, 700, 700, 80), 8, 8),  # more blocks than lanes
    ((1, 2, 2, 700, 700, 128), 128, 1),
]


@pytest.mark.parametrize("by", ["max", "sum"])
@pytest.mark.parametrize(("shape", "block", "step"), ANCHORS)
def test_anchor_attention_finds_the_columns_of_its_reference_and_attends_to_them(path, shape, block, step, by):
    q, k, v = drawn(*shape)
    scale, thetas = 0.7 * shape[-1] ** -0.5, torch.linspace(0.5, 4.0, shape[1]) + (2.0 if by == "sum" else 0.0)
    doubles = q.double(), k.double(), v.double()
    columns = attention_reference.anchor_columns(*doubles[:2], thetas.double(), block, step, scale, by=by)
    made, counts = anchor(q, k, v, scale, thetas, block, step, sums=by == "sum")
    assert torch.equal(counts, columns.sum(-1))
    if shape[3] > 3 * block * step:
        far = columns.shape[3] - 2 * block
        assert 0 < counts[:, :, -1].float().mean() < far
    expected = attention_reference.stripes(*doubles, columns, block, step, scale)
    torch.testing.assert_close(made, expected.float(), atol=CLOSE[path], rtol=0)


@pytest.mark.parametrize("sums", [False, True])
def test_an_infinite_theta_keeps_all_columns_and_minus_infinity_none(path, sums):
    q, k, v = drawn(1, 4, 2, 330, 330, 32)
    made, counts = anchor(q, k, v, 0.3, torch.tensor([math.inf, -math.inf, math.inf, -math.inf]), 32, 2, sums)
    whole = dense(q, k, v, 0.3)
    nothing = torch.zeros(1, 4, 6, 330, dtype=torch.bool)
    torch.testing.assert_close(made[:, ::2], whole[:, ::2], atol=CLOSE[path], rtol=0)
    torch.testing.assert_close(made[:, 1::2], stripes(q, k, v, 0.3, nothing, 64, 32, 32)[:, 1::2], atol=CLOSE[path], rtol=0)
    between = [max(0, 64 * group - 2 * 32) for group in range(6)]
    assert counts[0].tolist() == [between, [0] * 6, between, [0] * 6]


def test_a_sequence_does_not_see_the_others(path):
    q, k, v = drawn(3, 2, 1, 200, 200, 16)
    thetas = torch.tensor([1.0, 2.0])
    together = dense(q, k, v, 0.25), *anchor(q, k, v, 0.25, thetas, 16, 4)
    for row in range(3):
        one = [x[row : row + 1] for x in (q, k, v)]
        alone = dense(*one, 0.25), *anchor(*one, 0.25, thetas, 16, 4)
        assert all(torch.equal(a, b[row : row + 1]) for a, b in zip(alone, together, strict=True))


def test_what_the_kernels_cannot_do_is_said(path):
    q, k, v = drawn(1, 2, 1, 4, 4, 16)
    assert refusal(q, k, v) == ""
    assert "float64" in refusal(q.double(), k, v) and "bfloat16" in refusal(q, k, v.bfloat16())
    assert "multiple of 16" in refusal(q[..., :8], k[..., :8], v[..., :8])
    v.requires_grad_()
    assert "gradients" in refusal(q, k, v)
    with torch.no_grad():
        assert refusal(q, k, v) == ""
        assert "96 queries" in stripes_refusal(q, k, v, 96) and stripes_refusal(q, k, v, 128) == ""
        assert "meta" in refusal(q.to("meta"), k, v)


def test_on_the_reference_path_there_is_no_kernel(monkeypatch):
    monkeypatch.setattr(attention_prefill, "cpu_path", lambda: "reference")
    assert "reference" in refusal(*drawn(1, 1, 1, 4, 4, 16))
