"""Names inside transformers models: dense attention of ours is torch's, and what a method cannot know is refused."""

import copy
import json
import math
import threading

import pytest
import torch
from small_llama import small_llama, some_tokens
from transformers import (
    AutoModelForCausalLM,
    BartConfig,
    BartModel,
    BertConfig,
    BertModel,
    DynamicCache,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    StaticCache,
    T5Config,
    T5ForConditionalGeneration,
)

import fewer.attention
from fewer.attention.dense import DenseAttention
from fewer.attention.families.local import LocalAttention
from fewer.attention.settings import FIELD, INSTEAD, configure, memory_of, named
from fewer.attention.watch import WATCHER, using, watched
from fewer.errors import AttentionError

SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "initializer_range": 0.2, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
ANCHOR = {"block": 16, "step": 4, "theta": 2.0}
ASKED = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
CLOSE = {"atol": 2e-4, "rtol": 1e-4}
TOKENS = some_tokens(2, 40)


def llama_of_two():
    return small_llama(layers=2)


@pytest.fixture
def llama():
    return llama_of_two()


@pytest.fixture(scope="module")
def prompts():
    return some_tokens(2, 150, seed=3)


def made(kind, config):
    torch.manual_seed(0)
    return kind(config).eval()


def mistral(window=8):
    return made(MistralForCausalLM, MistralConfig(**SMALL, num_key_value_heads=1, sliding_window=window))


def mistral_whose_window_cuts_nothing():
    return mistral(1000)


def mixed():
    """One layer with a window of 8 tokens, two without."""
    layers = ["full_attention", "sliding_attention", "full_attention"]
    own = {**SMALL, "num_hidden_layers": 3, "use_sliding_window": True, "sliding_window": 8, "layer_types": layers}
    return made(Qwen2ForCausalLM, Qwen2Config(**own, num_key_value_heads=1))


def gpt2():
    return made(GPT2LMHeadModel, GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2, initializer_range=0.2))


def padded(side, count=7):
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[1, slice(count) if side == "left" else slice(-count, None)] = 0
    return mask


@torch.no_grad()
def by(model, name, *arguments, **keywords):
    """The first output under an attention, and back."""
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        return model(*arguments, **keywords)[0]
    finally:
        model.set_attn_implementation(before)


def equals_sdpa(model, real=None, **keywords):
    ours, torchs = (by(model, name, **keywords) for name in ("fewer_dense", "sdpa"))
    real = torch.ones(ours.shape[:2]) if real is None else real
    torch.testing.assert_close(ours[real.bool()], torchs[real.bool()], **CLOSE)


@pytest.mark.parametrize("model", [llama_of_two, mistral, mistral_whose_window_cuts_nothing, mixed, gpt2])
@pytest.mark.parametrize("side", [None, "left", "right"])
def test_dense_attention_is_torchs_whatever_the_padding(model, side):
    model = model()
    mask = None if side is None else padded(side)
    equals_sdpa(model, mask, input_ids=TOKENS, attention_mask=mask)
    equals_sdpa(
        model, None if mask is None else mask[1:], input_ids=TOKENS[1:], attention_mask=None if mask is None else mask[1:]
    )


@pytest.mark.parametrize("model", [llama_of_two, mistral, mistral_whose_window_cuts_nothing, mixed, gpt2])
@pytest.mark.parametrize("side", [None, "left"])
@pytest.mark.parametrize("static", [False, True])
def test_prompts_in_pieces_and_single_tokens_are_torchs_with_either_cache(model, side, static):
    model, mask = model(), torch.ones(2, 40, dtype=torch.long) if side is None else padded(side)
    found = []
    for name in ("fewer_dense", "sdpa"):
        model.set_attn_implementation(name)
        cache = StaticCache(model.config, max_cache_len=44) if static else DynamicCache(config=model.config)
        with torch.no_grad():
            pieces = [
                model(TOKENS[:, a:b], attention_mask=mask[:, :b], cache=cache).logits
                for a, b in ((0, 20), (20, 33), (33, 39), (39, 40))
            ]
        found.append(torch.cat(pieces, 1)[mask.bool()])
    torch.testing.assert_close(*found, **CLOSE)


@pytest.mark.parametrize("model", [llama_of_two, mistral, mistral_whose_window_cuts_nothing, mixed, gpt2])
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_the_same_text_is_generated(model, cache):
    model, found = model(), []
    for name in ("fewer_dense", "sdpa"):
        model.set_attn_implementation(name)
        found.append(model.generate(TOKENS, attention_mask=padded("left"), cache_implementation=cache, **ASKED))
    assert torch.equal(*found)


@pytest.mark.parametrize("side", [None, "left", "right"])
def test_dense_attention_of_an_encoder_is_torchs(side):
    model = made(BertModel, BertConfig(**{k: v for k, v in SMALL.items() if "token" not in k}))
    mask = None if side is None else padded(side)
    equals_sdpa(model, mask, input_ids=TOKENS, attention_mask=mask)


@pytest.mark.parametrize(("read", "written"), [(40, 10), (10, 40), (40, 40), (40, 1)])
@pytest.mark.parametrize("side", [None, "right"])
def test_a_decoder_reads_all_of_its_encoder(read, written, side):
    sizes = {"vocab_size": 64, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    sizes |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "init_std": 0.2}
    model = made(BartModel, BartConfig(**sizes, max_position_embeddings=64))
    mask = None if side is None else padded(side, 3)[:, -read:]
    equals_sdpa(model, input_ids=TOKENS[:, :read], attention_mask=mask, decoder_input_ids=TOKENS[:, :written])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("twin", ["", "random:"])
def test_a_padded_sequence_is_read_as_if_it_were_alone(llama, prompts, side, twin):
    configure(llama, f"{twin}anchor", **ANCHOR)
    mask = torch.ones_like(prompts)
    mask[1, slice(21) if side == "left" else slice(-21, None)] = 0
    own = prompts[1:, 21:] if side == "left" else prompts[1:, :-21]
    with torch.no_grad():
        together = llama(prompts, attention_mask=mask).logits
        for row, alone in ((0, prompts[:1]), (1, own)):
            torch.testing.assert_close(together[row][mask[row].bool()], llama(alone).logits[0], **CLOSE)
        dense = by(llama, "sdpa", prompts, attention_mask=mask)
    assert not torch.allclose(dense[0], together[0], atol=1e-2)


def test_generating_in_a_padded_batch_is_generating_alone(llama, prompts):
    configure(llama, "anchor", **ANCHOR)
    mask = torch.ones_like(prompts)
    mask[1, :21] = 0
    together = llama.generate(prompts, attention_mask=mask, **ASKED)
    assert torch.equal(together[:1], llama.generate(prompts[:1], **ASKED))
    assert torch.equal(together[1:, 21:], llama.generate(prompts[1:, 21:], **ASKED))


@pytest.mark.parametrize("name", ["fewer_dense", "fewer_anchor"])
def test_padding_between_real_tokens_is_refused(llama, name):
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[0, 10:12] = 0
    with pytest.raises(AttentionError, match="between real tokens"):
        by(llama, name, TOKENS, attention_mask=mask)


def test_a_mask_that_leaves_out_the_cache_is_refused(llama):
    cache = DynamicCache()
    by(llama, "fewer_dense", TOKENS, cache=cache)
    with pytest.raises(AttentionError, match="covers 5 tokens of 45"):
        by(llama, "fewer_dense", TOKENS[:, :5], cache=cache, attention_mask=padded("left")[:, :5])


def test_a_sequence_of_padding_alone_gives_zeros_and_no_error(llama):
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[1] = 0
    out = by(llama, "fewer_dense", TOKENS, attention_mask=mask)
    torch.testing.assert_close(out[0], by(llama, "sdpa", TOKENS[:1])[0], **CLOSE)
    assert out.isfinite().all()


def test_packed_sequences_and_masks_of_cells_are_exact_in_dense_attention_and_refused_elsewhere(llama):
    packed = {"position_ids": torch.cat([torch.arange(15), torch.arange(25)])[None], "use_cache": False}
    cells = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0)) < 0.5
    cells = (cells | torch.eye(40, dtype=torch.bool)).tril()
    added = torch.zeros(cells.shape).masked_fill(~cells, -math.inf)
    for keywords in (packed, {"attention_mask": cells}, {"attention_mask": added}):
        equals_sdpa(llama, input_ids=TOKENS[:1], **keywords)
        for name in ("fewer_anchor", "fewer_tidal", "fewer_local"):
            with pytest.raises(AttentionError, match="causal or bidirectional"):
                by(llama, name, TOKENS[:1], **keywords)
    apart = [by(llama, "sdpa", piece) for piece in (TOKENS[:1, :15], TOKENS[:1, 15:])]
    torch.testing.assert_close(by(llama, "fewer_dense", TOKENS[:1], **packed), torch.cat(apart, 1), **CLOSE)


@pytest.mark.parametrize("model", [mistral, mixed])
def test_layers_with_a_window_stay_exact_under_a_sparse_method(model, prompts):
    model = model()
    configure(model, "anchor", **{**ANCHOR, "theta": math.inf})
    for mask in (None, torch.ones_like(prompts).index_fill_(1, torch.arange(9), 0)):
        ours = by(model, "fewer_anchor", prompts, attention_mask=mask)
        real = torch.ones_like(prompts) if mask is None else mask
        torch.testing.assert_close(ours[real.bool()], by(model, "sdpa", prompts, attention_mask=mask)[real.bool()], **CLOSE)


@pytest.mark.parametrize("window", [149, 150, 1000])
def test_a_window_that_cuts_nothing_off_makes_no_layer_dense(window, prompts):
    model, padded_on_the_left = mistral(window), torch.ones_like(prompts)
    padded_on_the_left[1, :21] = 0
    configure(model, "anchor", **{**ANCHOR, "theta": -math.inf})
    ours = by(model, "fewer_anchor", prompts, attention_mask=padded_on_the_left)
    alone = by(model, "fewer_anchor", prompts[:1])
    dense = by(model, "sdpa", prompts[:1])
    torch.testing.assert_close(ours[:1], alone, **CLOSE)
    assert torch.allclose(alone, dense, atol=1e-3) == (window < 150)


def test_dropout_and_logits_that_are_changed_are_refused(llama):
    dropped = small_llama(layers=1, attention_dropout=0.1)
    dropped.set_attn_implementation("fewer_dense")
    by(dropped, "fewer_dense", TOKENS)  # not while it is evaluated
    dropped.train()
    with pytest.raises(AttentionError, match="dropout"):
        by(dropped, "fewer_dense", TOKENS)
    module, tensor = llama.model.layers[0].self_attn, torch.zeros(1, 6, 4, 16)
    for what in ("softcap", "s_aux", "position_bias"):
        with pytest.raises(AttentionError, match=what):
            fewer.attention.registered.attention("fewer_dense", module, tensor, tensor, tensor, None, **{what: tensor})
    with pytest.raises(AttentionError, match="two or four axes"):
        fewer.attention.registered.attention("fewer_dense", module, tensor, tensor, tensor, torch.ones(1, 4, 4))
    t5 = T5ForConditionalGeneration(T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)).eval()
    with pytest.raises(AttentionError, match="position biases"):
        by(configure(t5, "dense"), "fewer_dense", input_ids=TOKENS, decoder_input_ids=TOKENS)


def test_names_parameters_and_layers_that_are_none_are_refused(llama):
    with pytest.raises(AttentionError, match=r'no attention is named "ancor".*anchor'):
        configure(llama, "ancor")
    for wrong in ({"thetas": 3.0}, {"theta": "much"}, {"theta": math.nan}, {"block": 0}, {"anchor": "mean"}):
        with pytest.raises(AttentionError):
            configure(llama, "anchor", **wrong)
    with pytest.raises(AttentionError, match="does not take"):
        configure(llama, "dense", theta=1.0)
    for wrong in ({"layers": [0, 2]}, {"layers": [-1]}, {"by_layer": {5: {}}}):
        with pytest.raises(AttentionError, match="layers 0 to 1"):
            configure(llama, "anchor", **wrong)
    with pytest.raises(AttentionError):
        configure(llama, "anchor", by_layer={1: {"thetas": 1.0}})
    assert llama.config._attn_implementation == "sdpa" and not hasattr(llama.config, FIELD)
    configure(llama, "anchor", **{**ANCHOR, "theta": (1.0, 2.0)})
    with pytest.raises(AttentionError, match="2 values for 6 heads"):
        llama(some_tokens(1, 100))


def test_a_module_that_cannot_be_switched_is_refused():
    for model in (torch.nn.Linear(2, 2), torch.nn.TransformerEncoderLayer(16, 2)):
        with pytest.raises(AttentionError, match="cannot be switched"):
            configure(model, "dense")


def test_names_are_those_of_methods_and_their_twins():
    assert set(fewer.attention.NAMES) >= {"dense", "anchor", "tidal"}
    for name in fewer.attention.NAMES:
        assert named(name) == named(f"fewer_{name}")
        assert named(f"random:{name}").kind == "random"


def test_settings_are_saved_with_the_model(llama, prompts, tmp_path):
    theta = [math.inf, 3.0, -math.inf, 0.5, 1.0, 2.0]
    configure(llama, "anchor", block=16, step=4, anchor="max", by_layer={0: {"theta": tuple(theta)}, 1: {"theta": math.inf}})
    with torch.no_grad():
        expected = llama(prompts).logits
    llama.save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert said[FIELD]["method"] == "anchor" and said[FIELD]["parameters"] == {"block": 16, "step": 4, "anchor": "max"}
    again = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="fewer_anchor").eval()
    with torch.no_grad():
        assert torch.equal(again(prompts).logits, expected)
        # Under another name they do not apply.
        torch.testing.assert_close(by(again, "fewer_dense", prompts), by(again, "sdpa", prompts), **CLOSE)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert plain.config._attn_implementation == "sdpa"


def test_a_name_alone_has_the_methods_defaults_and_some_layers_may_be_dense(llama):
    tokens = some_tokens(1, 400)
    llama.set_attn_implementation("fewer_anchor")
    with torch.no_grad():
        default = llama(tokens).logits
        assert torch.equal(configure(llama, "anchor")(tokens).logits, default)
        sparse = {**ANCHOR, "theta": -math.inf}
        for keywords in ({"layers": []}, {"by_layer": {0: None, 1: None}}, {"by_layer": {0: {"theta": math.inf}, 1: None}}):
            torch.testing.assert_close(
                configure(llama, "anchor", **sparse, **keywords)(tokens).logits, by(llama, "sdpa", tokens), **CLOSE
            )
        first, second = (configure(llama, "anchor", layers=[n], **sparse)(tokens).logits for n in (0, 1))
        assert torch.equal(configure(llama, "anchor", by_layer={1: None}, **sparse)(tokens).logits, first)
        assert not torch.allclose(first, second, atol=1e-2)


def test_two_models_and_two_threads_have_memories_of_their_own(llama):
    other = small_llama(layers=2)
    copied = copy.deepcopy(configure(llama, "dense"))
    memories = [memory_of(model.config) for model in (llama, other, copied)]
    memories[0]["mine"] = 1
    assert not memories[1] and not memories[2] and memory_of(llama.config) is memories[0]
    seen = []
    thread = threading.Thread(target=lambda: seen.append(dict(memory_of(llama.config))))
    thread.start()
    thread.join()
    assert seen == [{}]
    configure(other, "anchor", **ANCHOR)
    assert llama.config._attn_implementation == "fewer_dense" and getattr(llama.config, FIELD)["method"] == "dense"
    assert memories[0].of_row(0) is memories[0].of_row(0) is not memories[0].of_row(1)


def test_a_method_without_a_name_is_used_for_a_while(llama):
    memory = memory_of(llama.config)
    method = LocalAttention(window=5)
    with torch.no_grad():
        dense = by(llama, "sdpa", TOKENS)
        with using(llama, method):
            inside = llama(TOKENS).logits
            with using(llama, DenseAttention()):
                torch.testing.assert_close(llama(TOKENS).logits, dense, **CLOSE)
            assert torch.equal(llama(TOKENS).logits, inside)
        assert torch.equal(configure(llama, "local", window=5)(TOKENS).logits, inside)
        assert not torch.allclose(inside, dense, atol=1e-2) and not memory
        with pytest.raises(RuntimeError), using(llama, method):
            assert memory[INSTEAD] is method
            raise RuntimeError
        assert not memory and llama.config._attn_implementation == "fewer_dense"
        torch.testing.assert_close(llama(TOKENS).logits, dense, **CLOSE)


def test_a_watcher_is_called_for_every_layer_and_no_longer(llama):
    seen, rows = [], []
    configure(llama, "dense")
    with torch.no_grad():
        with watched(llama, lambda inputs, out: seen.append((inputs.layer, tuple(out.shape), inputs.keys))):
            llama(TOKENS)
            with watched(llama, lambda inputs, out: rows.append((inputs.layer, inputs.keys))):
                llama(TOKENS, attention_mask=padded("left"))
            llama(TOKENS[:1, :7])
        llama(TOKENS)
        assert seen == [(0, (2, 6, 40, 16), 40), (1, (2, 6, 40, 16), 40), (0, (1, 6, 7, 16), 7), (1, (1, 6, 7, 16), 7)]
        assert rows == [(0, 40), (0, 33), (1, 40), (1, 33)]

        def fail(inputs, out):
            raise RuntimeError("no more")

        with pytest.raises(RuntimeError, match="no more"), watched(llama, fail):
            llama(TOKENS)
        assert WATCHER not in memory_of(llama.config)
        llama(TOKENS)


@pytest.mark.parametrize("mask", [None, padded("left"), padded("right")])
def test_gradients_are_those_of_torchs_attention(mask):
    found = []
    for name in ("fewer_dense", "sdpa"):
        model = small_llama(layers=2)
        model.set_attn_implementation(name)
        labels = TOKENS if mask is None else TOKENS.masked_fill(mask == 0, -100)
        model(TOKENS, attention_mask=mask, labels=labels).loss.backward()
        found.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], atol=1e-4, rtol=1e-3, msg=name)


def test_gradients_flow_through_the_columns_that_are_kept(llama, prompts):
    configure(llama, "anchor", **ANCHOR)
    with torch.no_grad():
        by_kernel = llama(prompts).logits
    out = llama(prompts)
    torch.testing.assert_close(out.logits, by_kernel, **CLOSE)
    out.logits.logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in llama.parameters())
