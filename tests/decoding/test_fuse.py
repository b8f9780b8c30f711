"""A fused model says what it said before, in every way that its layers and attention can be."""

import copy
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    StaticCache,
)

import fewer.attention
from fewer.activations import cats, r_sparse, restore, teal
from fewer.activations.kept_inputs import measure_inputs
from fewer.attention.cache import BufferLayer, Cache
from fewer.decoding import fuse, fused, unfuse
from fewer.decoding.fusing import _Fused
from fewer.decoding.plan import Plan
from fewer.errors import AttentionError, ModelError
from fewer.weights.accelerate import accelerate
from fewer.weights.accelerate.race import Outcome
from fewer.weights.prune import prune

SIZES = {
    "vocab_size": 97, "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.2, "pad_token_id": 0, "eos_token_id": None,
}  # fmt: skip
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "llama with biases": LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "qwen2": Qwen2Config(**SIZES),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
}
PROMPT = torch.arange(1, 10)[None]
TEXT = torch.randint(1, 97, (4, 32), generator=torch.Generator().manual_seed(1))


def made(config="llama"):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[config]), attn_implementation="sdpa").eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model


@torch.no_grad()
def steps(model, cache=None, tokens=TEXT[0, :6]):
    """Logits after each of some tokens behind the prompt."""
    cache = Cache(model.config, 16) if cache is None else cache
    model(PROMPT, cache=cache, use_cache=True)
    return torch.cat([model(token[None, None], cache=cache, use_cache=True).logits[:, 0] for token in tokens])


@pytest.fixture
def tokens_by_plan(monkeypatch):
    """How many tokens went through a plan so far."""
    count = [0]
    token = Plan.token

    def counted(self, *arguments):
        count[0] += 1
        return token(self, *arguments)

    monkeypatch.setattr(Plan, "token", counted)
    return count


def check(plain, model, count, **settings):
    expected, before = steps(plain, **settings), count[0]
    torch.testing.assert_close(steps(model, **settings), expected, rtol=1e-4, atol=1e-4)
    assert count[0] == before + 6


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_dense_model_gives_the_same_logits(config, threads, tokens_by_plan):
    model, before = made(config), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        check(model, fuse(copy.deepcopy(model)), tokens_by_plan)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("form", ["2:4", "bitmask", "sliced", "strips", "dense"])
@pytest.mark.parametrize("first", ["accelerate", "fuse"])
def test_an_accelerated_model_gives_the_same_logits(form, first, tokens_by_plan, monkeypatch):
    monkeypatch.setattr("fewer.weights.accelerate.choose.race", lambda *_: Outcome(form, 1, {}, "forced"))
    model = prune(made("llama with biases"), "magnitude", density=0.5, pattern="2:4" if form == "2:4" else "row")
    other = copy.deepcopy(model)
    if first == "fuse":
        accelerate(fuse(other), exclude="lm_head")
    else:
        fuse(accelerate(other, exclude="lm_head"))
    assert other.acceleration.choices[0].form == form
    check(model, other, tokens_by_plan)


@pytest.mark.parametrize("sparsify", [teal, r_sparse])
@pytest.mark.parametrize("together", [False, True])
def test_a_model_with_sparse_inputs_gives_the_same_logits(sparsify, together, tokens_by_plan):
    model = sparsify(made("llama with biases"), 0.5, TEXT, together=together)
    check(model, fuse(copy.deepcopy(model)), tokens_by_plan)


@pytest.mark.parametrize("name", ["dense", "tidal", "local", "quest", "snapkv"])
def test_attention_stays_what_was_configured(name, tokens_by_plan):
    settings = {"keys": 4, "select": (1,)} if name == "tidal" else {}
    model = fewer.attention.configure(made(), name, **settings)
    check(model, fuse(copy.deepcopy(model)), tokens_by_plan)


def test_generating_says_the_same_and_puts_buffers_into_the_cache(tokens_by_plan):
    model = made()
    other = fuse(copy.deepcopy(model))
    expected = model.generate(PROMPT, max_new_tokens=12, do_sample=False)
    cache = DynamicCache(config=model.config)
    assert torch.equal(other.generate(PROMPT, max_new_tokens=12, do_sample=False, cache=cache), expected)
    assert tokens_by_plan[0] == 11
    assert all(type(layer) is BufferLayer for layer in cache.layers)
    assert cache.get_seq_length() == PROMPT.shape[1] + 11


def test_a_cache_that_grows_is_followed(tokens_by_plan, monkeypatch):
    monkeypatch.setattr("fewer.attention.cache.LEAST", 10)
    model = made()
    plain = steps(model, DynamicCache(config=model.config))
    torch.testing.assert_close(steps(fuse(model), Cache(model.config)), plain, rtol=1e-4, atol=1e-4)
    assert tokens_by_plan[0] == 6


def test_several_sequences_padding_gradients_and_static_caches_go_the_ordinary_way(tokens_by_plan):
    model = made()
    other = fuse(copy.deepcopy(model))
    two, padded = PROMPT.repeat(2, 1), torch.ones(1, 9, dtype=torch.long)
    padded[0, :2] = 0
    for ids, more in ((two, {}), (PROMPT, {"attention_mask": padded})):
        said = [m.generate(ids, max_new_tokens=4, do_sample=False, **more) for m in (model, other)]
        assert torch.equal(*said)
    static = [StaticCache(config=model.config, max_cache_len=32) for _ in range(2)]
    assert torch.equal(steps(model, static[0]), steps(other, static[1]))
    cache = DynamicCache(config=model.config)
    other(PROMPT, cache=cache, use_cache=True)
    other(PROMPT[:, :1], cache=cache, use_cache=True).logits.sum().backward()
    assert tokens_by_plan[0] == 0


def test_a_window_that_is_full_goes_the_ordinary_way(tokens_by_plan):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(MistralConfig(**SIZES, sliding_window=11)).eval()
    plain = steps(model, DynamicCache())
    torch.testing.assert_close(steps(fuse(model), DynamicCache()), plain, rtol=1e-4, atol=1e-4)
    assert tokens_by_plan[0] == 2


def test_changed_weights_count(tokens_by_plan):
    model = made()
    other = fuse(copy.deepcopy(model))
    check(model, other, tokens_by_plan)
    with torch.no_grad():
        for m in (model, other):
            m.model.layers[1].mlp.up_proj.weight.mul_(2)
            m.model.layers[2].self_attn.q_proj.weight[0] = 1
    check(model, other, tokens_by_plan)


def test_parameters_that_moved_count(tokens_by_plan):
    model = made("llama with biases")
    other = fuse(copy.deepcopy(model))
    check(model, other, tokens_by_plan)
    for m in (model, other):
        m.model.layers[1].self_attn.q_proj.bias.data = torch.ones(64)
        m.model.layers[1].mlp.up_proj.weight.data = 2 * m.model.layers[1].mlp.up_proj.weight.data
    check(model, other, tokens_by_plan)


def test_threads_do_not_disturb_each_other(tokens_by_plan):
    model = fuse(made())
    texts = [row[:8] for row in TEXT]
    expected = [steps(model, tokens=text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found, right in zip(pool.map(lambda text: steps(model, tokens=text), texts), expected, strict=True):
                torch.testing.assert_close(found, right)


def test_hidden_states_that_the_config_asks_for_are_there():
    model = fuse(made())
    model.config.output_hidden_states = True
    cache = Cache(model.config)
    with torch.no_grad():
        model(PROMPT, cache=cache, use_cache=True)
        assert len(model(PROMPT[:, :1], cache=cache, use_cache=True).hidden_states) == 4


def test_hooks_are_called(tokens_by_plan):
    model, seen = fuse(made()), []
    model.model.layers[1].mlp.register_forward_hook(lambda *_: seen.append(1))
    steps(model)
    assert len(seen) == 7
    assert tokens_by_plan[0] == 0


def test_what_is_measured_of_sparse_inputs_is_measured(tokens_by_plan):
    model = fuse(teal(made(), 0.5, TEXT))
    found = measure_inputs(model, TEXT)
    assert found.inputs == measure_inputs(unfuse(model), TEXT).inputs


def test_a_copy_and_the_original_go_apart(tokens_by_plan):
    model = fuse(made())
    steps(model)
    other = copy.deepcopy(model)
    assert isinstance(other.model.forward, _Fused)
    with torch.no_grad():
        other.lm_head.weight.zero_()
        other.model.norm.weight.zero_()
    assert not steps(other).any()
    assert steps(model).any()


def test_a_cache_beyond_the_positions_is_an_error():
    model = fuse(made())
    cache = Cache(model.config)
    with torch.no_grad():
        model(TEXT[:2].reshape(1, -1)[:, :63], cache=cache, use_cache=True)
        model(PROMPT[:, :1], cache=cache, use_cache=True)
        with pytest.raises(AttentionError, match="65 tokens in a cache of a model with 64 positions"):
            model(PROMPT[:, :1], cache=cache, use_cache=True)


def test_undone_it_is_as_before(tokens_by_plan):
    model = fuse(made())
    assert fused(model)
    unfuse(model)
    assert not fused(model)
    steps(model)
    assert tokens_by_plan[0] == 0
    restore(fuse(teal(model, 0.5, TEXT)))
    steps(model)
    assert tokens_by_plan[0] == 6


def test_what_cannot_be_fused_is_said():
    with pytest.raises(ModelError, match="known: LlamaDecoderLayer"):
        fuse(AutoModelForCausalLM.from_config(GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=9)))
    with pytest.raises(ModelError, match="bfloat16"):
        fuse(made().bfloat16())
    with pytest.raises(ModelError, match="each must divide by 16"):
        fuse(AutoModelForCausalLM.from_config(LlamaConfig(**{**SIZES, "intermediate_size": 100})))
    with pytest.raises(ModelError, match="activation is GELU"):
        fuse(AutoModelForCausalLM.from_config(LlamaConfig(**SIZES, hidden_act="gelu")))


def test_a_layer_without_a_kernel_goes_the_ordinary_way_and_it_is_said_once(tokens_by_plan, caplog):
    model = made()
    other = cats(fuse(copy.deepcopy(model)), 0.0, TEXT)
    with caplog.at_level(logging.WARNING, "fewer.decoding"):
        steps(other)
    assert tokens_by_plan[0] == 0
    assert sum("the ordinary way" in record.message for record in caplog.records) == 1


def test_without_kernels_there_is_nothing_to_fuse(monkeypatch):
    monkeypatch.setattr("fewer.decoding.fusing.cpu_path", lambda: "reference")
    with pytest.raises(ModelError, match="no kernels to fuse"):
        fuse(made())
