import logging

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from fewer.errors import KernelError
from fewer.kernels import attention_decode
from fewer.kernels.attention_choose import choose
from fewer.kernels.attention_decode import LOG2_E, decode, look
from fewer.kernels.attention_reference import gathered
from fewer.kernels.dispatch import cpu_path, has_avx512

SHAPES = [  # batch, heads, KV heads, keys, dim
    (1, 9, 3, 1100, 64),
    (2, 4, 4, 37, 16),
    (1, 6, 2, 1, 80),
    (3, 8, 1, 129, 128),
    (1, 2, 2, 32, 48),
    (1, 3, 1, 33, 20),  # not sixteen lanes: torch
]


@pytest.fixture(
    params=["reference", "portable", pytest.param("avx512", marks=pytest.mark.skipif(not has_avx512(), reason="no AVX-512"))]
)
def path(request, monkeypatch):
    monkeypatch.setenv("FEWER_KERNELS", request.param)
    cpu_path.cache_clear()
    for kept in (attention_decode._kernel, attention_decode._say):
        kept.cache_clear()
    yield request.param
    cpu_path.cache_clear()
    attention_decode._kernel.cache_clear()


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def tensors(shape, seed=0, dtype=torch.float32):
    batch, heads, kv_heads, keys, dim = shape
    generator = torch.Generator().manual_seed(seed)
    made = [
        torch.randn(batch, n, rows, dim, generator=generator) for n, rows in ((heads, 1), (kv_heads, keys), (kv_heads, keys))
    ]
    return [x.to(dtype) for x in made]


def lists_of(shape, sets, seed=0):
    """Ascending; the first one shorter than the others."""
    batch, _, _, keys, _ = shape
    count = -(-keys // 3)
    lists = torch.rand(batch, sets, keys, generator=torch.Generator().manual_seed(seed)).topk(count).indices.sort(-1).values
    lists[0, 0, count // 2 + 1 :] = -1
    return lists


@pytest.mark.parametrize("shape", SHAPES)
def test_all_keys_give_what_float64_gives(path, threads, shape):
    q, k, v = tensors(shape)
    exact = scaled_dot_product_attention(q.double(), k.double(), v.double(), scale=0.3, enable_gqa=True)
    assert torch.allclose(decode(q, k, v, 0.3).double(), exact, atol=1e-5)
    out, logits = look(q, k, v, 0.3)
    assert torch.allclose(out.double(), exact, atol=1e-5)
    products = (q.double().view(*k.shape[:2], -1, k.shape[3]) @ k.double().mT).view(*q.shape[:2], -1) * 0.3 * LOG2_E
    assert torch.allclose(logits[..., : k.shape[2]].double(), products, atol=1e-5)
    assert (logits[..., k.shape[2] :] == -1e30).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_listed_keys_give_what_the_reference_gives(path, threads, shape):
    q, k, v = tensors(shape)
    for sets in {1, shape[2], shape[1]}:
        lists = lists_of(shape, sets)
        exact = gathered(q.double()[:, :, 0], k.double(), v.double(), lists, 0.3)[:, :, None]
        assert torch.allclose(decode(q, k, v, 0.3, lists).double(), exact, atol=1e-5)
        assert torch.equal(decode(q, k, v, 0.3, lists.int()), decode(q, k, v, 0.3, lists))


def test_a_part_of_a_longer_cache_is_read_where_it_is(path):
    cache = torch.randn(2, 3, 500, 2, 64).permute(3, 0, 1, 2, 4)  # keys and values, strange strides, room at the end
    q = torch.randn(2, 5, 6, 64).transpose(1, 2)[:, :, 3:4]
    k, v = cache[0][:, :, :300], cache[1][:, :, :300]
    assert not k.is_contiguous() and not q.is_contiguous()
    assert torch.allclose(decode(q, k, v, 0.1), decode(q.contiguous(), k.contiguous(), v.contiguous(), 0.1), atol=1e-6)
    lists = lists_of((2, 6, 3, 300, 64), 3)
    wide = torch.full((2, 3, 300), -1)
    wide[..., : lists.shape[2]] = lists
    assert torch.allclose(
        decode(q, k, v, 0.1, wide[..., : lists.shape[2]]),
        decode(q.contiguous(), k.contiguous(), v.contiguous(), 0.1, lists),
        atol=1e-6,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("batch", "heads", "kv_heads", "keys", "dim"), [(2, 9, 3, 1300, 64), (1, 4, 2, 70, 16), (1, 3, 1, 65, 48)]
)
def test_rows_of_all_heads_give_what_separate_keys_and_values_give(path, threads, batch, heads, kv_heads, keys, dim, dtype):
    q, k, v = tensors((batch, heads, kv_heads, keys, dim), dtype=dtype)
    atol = 1e-5 if dtype is torch.float32 else 0.02  # parts of other keys are rounded elsewhere
    for order in ((k, v), (v, k)):  # keys first in a row, or values
        rows = torch.cat(order, -1).transpose(1, 2).contiguous().transpose(1, 2)
        first, second = rows[..., :dim], rows[..., dim:]
        ours = (first, second) if order[0] is k else (second, first)
        assert attention_decode.side_by_side(*ours)[0] == kv_heads and attention_decode.side_by_side(k, v) == (1, 0, 0)
        assert torch.allclose(decode(q, *ours, 0.3), decode(q, k, v, 0.3), atol=atol)
        assert torch.equal(look(q, *ours, 0.3).logits, look(q, k, v, 0.3).logits)
        for sets in {1, kv_heads, heads}:
            lists = lists_of((batch, heads, kv_heads, keys, dim), sets)
            assert torch.allclose(decode(q, *ours, 0.3, lists), decode(q, k, v, 0.3, lists), atol=atol)


def test_bfloat16_caches_are_read_in_float32(path):
    q, k, v = tensors((2, 4, 2, 70, 32), dtype=torch.bfloat16)
    exact = scaled_dot_product_attention(q.double(), k.double(), v.double(), scale=0.3, enable_gqa=True)
    out = decode(q, k, v, 0.3)
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.double(), exact, atol=0.02)


def test_very_large_logits_and_lists_without_keys(path):
    q, k, v = tensors((1, 2, 1, 40, 16))
    exact = scaled_dot_product_attention(q.double(), k.double(), v.double(), scale=300.0, enable_gqa=True)
    assert torch.allclose(decode(q, k, v, 300.0).double(), exact, atol=1e-4)
    assert not decode(q, k, v, 0.3, torch.full((1, 1, 3), -1)).any()


def test_nan_is_seen_in_the_result(path):
    q, k, v = tensors((1, 2, 1, 40, 16))
    k[0, 0, 7, 3] = torch.nan
    assert decode(q, k, v, 0.3).isnan().all()


def test_lists_that_make_no_sense_are_refused(path):
    q, k, v = tensors((1, 4, 2, 40, 16))
    with pytest.raises(KernelError, match="below 40"):
        decode(q, k, v, 0.3, torch.tensor([[[3, 40]]]))
    with pytest.raises(KernelError, match="1, 2 or 4 sets"):
        decode(q, k, v, 0.3, torch.zeros(1, 3, 2, dtype=torch.int64))
    with pytest.raises(KernelError, match="int16"):
        decode(q, k, v, 0.3, torch.zeros(1, 1, 2, dtype=torch.int16))


def test_that_torch_runs_is_said_once(caplog):
    attention_decode._say.cache_clear()
    q, k, v = tensors((1, 2, 1, 40, 20))
    with caplog.at_level(logging.WARNING, "fewer.kernels"):
        decode(q, k, v, 0.3)
        decode(q, k, v, 0.3)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("heads", "sets"), [(6, 1), (6, 2), (6, 6)])
@pytest.mark.parametrize(("keys", "count"), [(100, 10), (64, 64), (33, 1), (1, 1), (2, 2)])
def test_chosen_keys_are_those_of_the_largest_weights_and_the_last(path, heads, sets, keys, count):
    logits = torch.full((2, heads, -(-keys // 32) * 32), -1e30)
    logits[..., :keys] = torch.randn(2, heads, keys, generator=torch.Generator().manual_seed(1)) * 5
    natural = logits[..., :keys].double() / LOG2_E
    weights = natural if sets == heads else natural.softmax(-1).unflatten(1, (sets, -1)).sum(2)
    best = weights[..., :-1].topk(count - 1).indices
    wanted = torch.cat([best, torch.full((2, sets, 1), keys - 1)], -1).sort(-1).values
    assert torch.equal(choose(logits, keys, count, sets).long(), wanted)


def test_of_equal_keys_the_first_are_chosen(path):
    for sets in (1, 2):
        assert choose(torch.zeros(1, 2, 64), 60, 5, sets)[0, 0].tolist() == [0, 1, 2, 3, 59]


def test_choosing_refuses_logits_that_are_not_finite_and_counts_that_make_no_sense(path):
    for bad in (torch.nan, torch.inf):
        for sets in (1, 2):
            logits = torch.zeros(1, 2, 64)
            logits[0, 1, 3] = bad
            with pytest.raises(KernelError, match="NaN"):
                choose(logits, 60, 5, sets)
    with pytest.raises(KernelError, match="61 of 60"):
        choose(torch.zeros(1, 2, 64), 60, 61, 1)
