"""Attention to blocks of keys equals its reference, on every path, over shapes that nothing divides."""

import pytest
import torch

from fewer.errors import KernelError
from fewer.kernels import attention_reference
from fewer.kernels.attention_blocks import blocks
from fewer.kernels.cpu.attention.matrix import usable
from fewer.kernels.dispatch import attention_path, cpu_path, has_avx512

PATHS = [
    "reference",
    "portable",
    pytest.param("avx512", marks=pytest.mark.skipif(not has_avx512(), reason="no AVX-512")),
    pytest.param("amx", marks=pytest.mark.skipif(not (has_avx512() and usable()), reason="no AMX")),
]
CLOSE = {"reference": 3e-6, "portable": 3e-6, "avx512": 3e-6, "amx": 2e-5}
"""AMX multiplies in three parts of bfloat16."""
SHAPES = [
    # batch, heads, KV heads, queries, keys, dim, block
    (1, 1, 1, 1, 1, 16, 8),
    (2, 4, 2, 40, 40, 16, 8),
    (1, 3, 3, 129, 129, 64, 32),
    (1, 6, 2, 130, 130, 48, 64),
    (1, 2, 1, 300, 300, 64, 128),
    (1, 2, 2, 200, 200, 80, 48),
    (1, 1, 1, 150, 150, 32, 500),
    (1, 2, 1, 70, 333, 16, 16),
]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    monkeypatch.setenv("FEWER_KERNELS", request.param)
    for choice in (cpu_path, attention_path):
        choice.cache_clear()
    yield request.param
    for choice in (cpu_path, attention_path):
        choice.cache_clear()


def drawn(batch, heads, kv_heads, queries, keys, dim, block, density=0.4, seed=0):
    """Queries, keys, values and a mask that leaves some blocks of queries without any key."""
    draws = torch.Generator().manual_seed(seed)
    q, k, v = (
        torch.randn(batch, n, length, dim, generator=draws)
        for n, length in ((heads, queries), (kv_heads, keys), (kv_heads, keys))
    )
    sides = -(-queries // block), -(-keys // block)
    return q * 2, k, v, torch.rand(batch, heads, *sides, generator=draws) < density


def exact(q, k, v, mask, block, causal):
    """In double, cell by cell."""
    rows, columns = torch.arange(q.shape[2]), torch.arange(k.shape[2])
    kept = mask[:, :, rows // block][..., columns // block]
    if causal:
        kept = kept & (columns <= (rows + k.shape[2] - q.shape[2])[:, None])
    return attention_reference.attend(q.double(), k.double(), v.double(), kept)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernel_equals_plain_attention_in_double(path, shape, causal):
    for density in (0.0, 0.4, 1.0):
        q, k, v, mask = drawn(*shape, density)
        made = blocks(q, k, v, mask, shape[-1], causal)
        assert torch.allclose(made.double(), exact(q, k, v, mask, shape[-1], causal), atol=CLOSE[path])


def test_it_is_what_the_reference_for_other_devices_gives(path):
    q, k, v, mask = drawn(2, 4, 2, 100, 100, 32, 16)
    for causal in (False, True):
        other = attention_reference.blocks(q, k, v, mask, 16, causal)
        assert torch.allclose(blocks(q, k, v, mask, 16, causal), other, atol=1e-5)


def test_one_mask_serves_all_heads_and_tensors_may_be_strided(path):
    q, k, v, mask = drawn(2, 4, 4, 100, 100, 32, 16)
    mask = mask[:1, :1]
    strided = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    swapped = mask.transpose(2, 3).contiguous().transpose(2, 3)
    expected = exact(q, k, v, mask.expand(2, 4, -1, -1), 16, False)
    for some in ((q, k, v, mask), (*strided, swapped)):
        assert torch.allclose(blocks(*some, 16).double(), expected, atol=CLOSE[path])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same(path, threads):
    q, k, v, mask = drawn(1, 4, 2, 260, 260, 32, 32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        made = [blocks(q, k, v, mask, 32) for _ in range(5)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, made[0]) for one in made)
    assert torch.allclose(made[0].double(), exact(q, k, v, mask, 32, False), atol=CLOSE[path])


def test_large_logits_do_not_overflow(path):
    q, k, v, mask = drawn(1, 1, 1, 64, 64, 16, 16)
    made = blocks(q * 1000, k, v, mask, 16)
    assert torch.allclose(made.double(), exact(q * 1000, k, v, mask, 16, False), atol=1e-3)


def test_half_precision_goes_to_torch_and_is_said(caplog):
    from fewer.kernels import attention_blocks

    attention_blocks._say.cache_clear()
    q, k, v, mask = drawn(1, 2, 2, 40, 40, 16, 16)
    made = blocks(q.bfloat16(), k.bfloat16(), v.bfloat16(), mask, 16)
    assert torch.allclose(made.double(), exact(q, k, v, mask, 16, False), atol=0.1)
    assert "bfloat16" in caplog.text


def test_masks_of_other_blocks_are_refused():
    q, k, v, mask = drawn(1, 2, 2, 40, 40, 16, 16)
    for wrong in (mask[..., :1], mask.float(), mask[0], mask.expand(3, 2, -1, -1)):
        with pytest.raises(KernelError, match="need bool"):
            blocks(q, k, v, wrong, 16)
