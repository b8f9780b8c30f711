"""Families inside transformers models: registered names, and caches that SnapKV has thinned."""

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

import fewer.attention.settings as settings
from fewer.attention.families.eviction import evict
from fewer.attention.settings import configure
from fewer.errors import AttentionError

SMALL = {"capacity": 16, "window": 8, "kernel": 3, "local": 6, "prefix": 2}


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, eos_token_id=None, bos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def tokens(n, batch=1, seed=0):
    return torch.randint(1, 64, (batch, n), generator=torch.Generator().manual_seed(seed))


def generated(model, prompt, cache=None, count=9):
    return model.generate(prompt, cache=cache, max_new_tokens=count, do_sample=False, pad_token_id=0)


@pytest.mark.parametrize(
    ("name", "large"),
    [
        ("local", {"window": 200}),
        ("vertical_slash", {"window": 60}),
        ("block", {"blocks": 20, "size": 4}),
        ("flex_prefill", {"window": 60}),
        ("quest", {"budget": 128}),
        ("snapkv", {"capacity": 200}),
        ("ada_snapkv", {"capacity": 200}),
    ],
)
def test_every_family_is_registered_and_generates_as_dense_attention_where_it_keeps_everything(model, name, large):
    prompt = tokens(50)
    expected = generated(model, prompt)
    configure(model, name, **large)
    assert model.config._attn_implementation == f"fewer_{name}"
    assert torch.equal(generated(model, prompt), expected)


@pytest.mark.parametrize("name", ["snapkv", "ada_snapkv"])
def test_an_evicted_cache_goes_on_as_the_whole_cache_read_in_part(model, name):
    prompt, rest = tokens(50, batch=2), tokens(7, batch=2, seed=1)
    configure(model, name, **SMALL)
    with torch.inference_mode():
        whole, thinned = DynamicCache(), DynamicCache()
        model(prompt, cache=whole)
        expected = [model(rest[:, :3], cache=whole).logits, model(rest[:, 3:4], cache=whole).logits]
        model(prompt, cache=thinned)
        sizes = evict(model, thinned)
        assert sizes.after < sizes.before * 0.75
        assert thinned.get_seq_length() == 50
        found = [model(rest[:, :3], cache=thinned).logits, model(rest[:, 3:4], cache=thinned).logits]
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    assert thinned.layers[0].keys.shape[2] == whole.layers[0].keys.shape[2] - (50 - sizes.after * 50 // sizes.before)


def test_after_snapkv_has_evicted_any_attention_may_go_on(model):
    prompt = tokens(50)
    configure(model, "snapkv", **SMALL)
    with torch.inference_mode():
        results = []
        for name in ("fewer_snapkv", "sdpa", "eager"):
            configure(model, "snapkv", **SMALL)
            cache = DynamicCache()
            first = model(prompt, cache=cache).logits[:, -1:].argmax(-1)
            evict(model, cache)
            assert cache.layers[1].keys.shape[2] == 16
            model.set_attn_implementation(name)
            results.append(generated(model, torch.cat([prompt, first], 1), cache))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_eviction_refuses_other_attention_other_caches_and_caches_that_have_grown(model):
    cache = DynamicCache()
    with torch.inference_mode():
        model(tokens(50), cache=cache)
        with pytest.raises(AttentionError, match="read no prompt under SnapKV"):
            evict(model, cache)
        configure(model, "snapkv", **SMALL)
        with pytest.raises(AttentionError, match="read no prompt under SnapKV"):
            evict(model, cache)
        model(tokens(50, seed=3), cache=DynamicCache())
        with pytest.raises(AttentionError, match="not the last prompt"):
            evict(model, cache)
        model(tokens(50), cache=(cache := DynamicCache()))
        model(tokens(1), cache=cache)
        with pytest.raises(AttentionError, match="not the last prompt"):
            evict(model, cache)


def test_padded_batches_are_read_sequence_by_sequence(model):
    configure(model, "quest", budget=8, page=4)
    long, short = tokens(40), tokens(30, seed=1)
    padded = torch.cat([torch.cat([torch.zeros(1, 10, dtype=torch.long), short], 1), long])
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[0, :10] = 0
    together = model.generate(padded, attention_mask=mask, max_new_tokens=5, do_sample=False, pad_token_id=0)
    assert torch.equal(together[0, 10:], generated(model, short, count=5)[0])
    assert torch.equal(together[1], generated(model, long, count=5)[0])


def test_names_of_families_are_known_to_the_settings():
    assert {"local", "vertical_slash", "block", "flex_prefill", "quest", "snapkv", "ada_snapkv"} <= set(settings.NAMES)
