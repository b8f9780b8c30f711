import copy

import pytest
import torch
from small_llama import small_llama, some_tokens
from transformers import DynamicCache
from transformers.cache_utils import DynamicSlidingWindowLayer

from fewer.attention.cache import LEAST, BufferLayer, Cache
from fewer.errors import AttentionError

MODEL = small_llama(positions=600)
TOKENS = some_tokens(count=30)


def states(tokens, batch=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 2, tokens, 16, generator=g), torch.randn(batch, 2, tokens, 16, generator=g)


def both(*changes):
    """The same changes of a buffer and of transformers' own layer: what they hold must stay equal."""
    from transformers.cache_utils import DynamicLayer

    layers = BufferLayer(4, None), DynamicLayer()
    for number, change in enumerate(changes):
        for layer in layers:
            if isinstance(change, int):
                layer.update(*states(change, batch=2 if not layer.get_seq_length() else layer.keys.shape[0], seed=number))
            else:
                change(layer)
        assert layers[0].get_seq_length() == layers[1].get_seq_length()
        if layers[1].keys is not None:
            assert torch.equal(layers[0].keys, layers[1].keys) and torch.equal(layers[0].values, layers[1].values)
    return layers[0]


def test_it_holds_what_transformers_own_holds_whatever_is_done_to_it():
    both(
        5,
        1,
        LEAST,  # grows
        lambda layer: layer.crop(-7),
        3,
        lambda layer: layer.reorder_cache(torch.tensor([1, 0])),
        1,
        lambda layer: layer.batch_repeat_interleave(2),
        2,
        lambda layer: layer.batch_select_indices(torch.tensor([3, 0, 1])),
        lambda layer: layer.reorder_cache(torch.tensor([0, 0, 2])),
        1,
        lambda layer: layer.reset(),
        6,
        lambda layer: layer.crop(0),
    )


def test_a_new_token_is_written_into_room_that_is_there_and_room_doubles():
    layer = BufferLayer(300, 10_000)
    keys, _ = layer.update(*states(200))
    again, _ = layer.update(*states(100))
    assert again.data_ptr() == keys.data_ptr()
    grown, _ = layer.update(*states(1))
    assert grown.data_ptr() != keys.data_ptr() and layer._buffers[0].shape[2] == 600
    layer.reset()
    assert layer.update(*states(5))[0].data_ptr() == grown.data_ptr()
    layer.reset()
    assert layer.update(*states(5, batch=3))[0].shape[0] == 3


@pytest.mark.parametrize("asked", [{"do_sample": False}, {"num_beams": 3}, {"do_sample": True, "num_return_sequences": 2}])
def test_generate_gives_what_it_gives_with_its_own_cache(asked):
    made = []
    for cache in (None, Cache(MODEL.config), DynamicCache(config=MODEL.config)):
        torch.manual_seed(0)
        made.append(MODEL.generate(TOKENS, max_new_tokens=9, pad_token_id=0, **({"cache": cache} if cache else {}), **asked))
    assert torch.equal(made[0], made[1]) and torch.equal(made[0], made[2])


def test_a_prompt_can_be_kept_copied_and_gone_on_with_outside_of_inference_mode():
    cache = Cache(MODEL.config, 40)
    with torch.inference_mode():
        MODEL(TOKENS, cache=cache)
    copied = copy.deepcopy(cache)
    with torch.no_grad():
        one = MODEL(TOKENS[:, :2], cache=cache).logits
        cache.crop(-2)
        two = MODEL(TOKENS[:, :2], cache=cache).logits
        three = MODEL(TOKENS[:, :2], cache=copied).logits
    assert torch.equal(one, two) and torch.equal(one, three)
    assert cache.get_seq_length() == 32


def test_layers_with_a_window_keep_what_transformers_has_for_them():
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64}
    config = MistralConfig(hidden_size=64, intermediate_size=64, sliding_window=8, **sizes)
    model = MistralForCausalLM(config).eval()
    cache = Cache(config)
    assert all(type(layer) is DynamicSlidingWindowLayer for layer in cache.layers)
    asked = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(model.generate(TOKENS, cache=cache, **asked), model.generate(TOKENS, **asked))


def test_more_tokens_than_positions_are_refused():
    small = small_llama(layers=1, positions=32)
    with torch.no_grad():
        cache = Cache(small.config)
        small(TOKENS, cache=cache)
        with pytest.raises(AttentionError, match="33 tokens in a cache of a model with 32 positions"):
            small(TOKENS[:, :3], cache=cache)
        assert cache.get_seq_length() == 30
        small(TOKENS[:, :2], cache=cache)
        longer = Cache(small.config, limit=None)
        small(TOKENS.repeat(1, 2), cache=longer)
    with pytest.raises(AttentionError, match="0 to 32"):
        Cache(small.config, 33)


def test_other_prompts_and_gradients_are_refused():
    layer = BufferLayer(0, None)
    layer.update(*states(5))
    with pytest.raises(AttentionError, match=r"\(2, 2\) of torch.float32, and gets \(3, 2\)"):
        layer.update(*states(5, batch=3))
    with pytest.raises(AttentionError, match="gradients"):
        layer.update(*(x.requires_grad_() for x in states(1)))
    with pytest.raises(AttentionError, match="stays on its device"):
        layer.offload()
