import threading
from dataclasses import replace

import pytest
import torch
from small_llama import small_llama, some_tokens
from transformers import DynamicCache

import fewer.attention
from fewer.attention.cache import Cache
from fewer.attention.decode_baselines import OracleKeys, SinksAndWindow
from fewer.attention.executors import attend
from fewer.attention.forced import TeacherForced
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Chosen
from fewer.attention.memory import Memory
from fewer.attention.sweep import sweep
from fewer.attention.tidal import MASS, Tidal
from fewer.errors import AttentionError

MODEL = small_llama()
TOKENS = some_tokens()


def inputs(layer, keys=30, batch=1, queries=1, seed=0):
    g = torch.Generator().manual_seed(seed + layer)
    q, k, v = (torch.randn(batch, n, t, 16, generator=g) for n, t in ((6, queries), (2, keys), (2, keys)))
    return Inputs(q, k, v, 0.25, layer=layer)


def by_hand(one, budget, sets):
    """The kept keys of each head, written out: the largest weights of a group summed, and the last key."""
    logits = (one.q @ one.k.repeat_interleave(3, 1).mT)[:, :, 0] * 0.25
    weights = logits.softmax(-1) if sets != "head" else logits
    groups = {"shared": 1, "kv": 2, "head": 6}[sets]
    summed = weights.unflatten(1, (groups, -1)).sum(2)[..., :-1]
    kept = torch.zeros(one.batch, groups, one.keys, dtype=torch.bool)
    kept.scatter_(2, summed.topk(budget - 1).indices, True)
    kept[..., -1] = True
    return kept.repeat_interleave(6 // groups, 1)


def masked(one, kept):
    logits = (one.q @ one.k.repeat_interleave(3, 1).mT) * 0.25
    return logits.masked_fill(~kept[:, :, None], -torch.inf).softmax(-1) @ one.v.repeat_interleave(3, 1)


@pytest.mark.parametrize("sets", ["shared", "kv", "head"])
@pytest.mark.parametrize("grad", [False, True])
def test_a_layer_reads_the_keys_that_the_last_selection_layer_weighs_most(sets, grad):
    method, memory = Tidal(keys=7, select=(1, 3), sets=sets), Memory()
    chosen = None
    with torch.set_grad_enabled(grad):  # with gradients keys are chosen in torch
        for layer in range(6):
            one = inputs(layer, batch=2)
            out = method.attend(one, memory)
            if layer in method.select:
                chosen = by_hand(one, 7, sets)
            everything = torch.ones(2, 6, 30, dtype=torch.bool)
            kept = everything if layer in (0, 1, 3) else chosen
            assert torch.allclose(out, masked(one, kept), atol=1e-5)


def test_the_set_of_another_pass_is_never_read():
    method, memory = Tidal(keys=7, select=(1,)), Memory()
    with torch.no_grad():
        for layer in range(3):
            method.attend(inputs(layer), memory)
        for other in (inputs(2), inputs(1 + 2, keys=31), inputs(3, batch=2)):  # again, a longer cache, another batch
            with pytest.raises(AttentionError, match="none of the selection layers"):
                method.attend(other, memory)
        method.attend(inputs(3), memory)
        with pytest.raises(AttentionError, match="forward pass"):
            method.attend(inputs(2), Memory())


@pytest.mark.parametrize("name", ["tidal", "oracle_keys", "sinks_and_window"])
@pytest.mark.parametrize("sets", ["shared", "kv", "head"])
def test_many_steps_at_once_are_what_they_are_one_by_one(name, sets):
    settings = {"keys": 8, "select": (1, 3), "sets": sets}
    with torch.no_grad():
        fewer.attention.configure(MODEL, name, **settings)
        cache = Cache(MODEL.config)
        one_by_one = [MODEL(TOKENS[:, :20], cache=cache).logits]
        one_by_one += [MODEL(TOKENS[:, at : at + 1], cache=cache).logits for at in range(20, 40)]
        fewer.attention.configure(MODEL, name, **settings, steps=True)
        cache = DynamicCache()
        pieces = [MODEL(TOKENS[:, a:b], cache=cache).logits for a, b in ((0, 20), (20, 31), (31, 40))]
    assert torch.allclose(torch.cat(one_by_one, 1), torch.cat(pieces, 1), atol=1e-3)


def test_generating_with_all_keys_is_dense_and_padding_changes_nothing():
    asked = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    fewer.attention.configure(MODEL, "tidal", keys=100, select=(1, 3))
    ours = MODEL.generate(TOKENS, cache=Cache(MODEL.config, 8), **asked)
    MODEL.set_attn_implementation("sdpa")
    assert torch.equal(ours, MODEL.generate(TOKENS, **asked))

    fewer.attention.configure(MODEL, "tidal", keys=8, select=(1, 3))
    padded, mask = torch.zeros(2, 45, dtype=torch.long), torch.zeros(2, 45, dtype=torch.long)
    padded[0, 5:], mask[0, 5:], padded[1, 15:], mask[1, 15:] = TOKENS[0], 1, TOKENS[1, :30], 1
    together = MODEL.generate(padded, attention_mask=mask, cache=Cache(MODEL.config), **asked)
    assert torch.equal(together[0, 5:], MODEL.generate(TOKENS[:1], **asked)[0])
    assert torch.equal(together[1, 15:], MODEL.generate(TOKENS[1:, :30], **asked)[0])
    both = MODEL.generate(TOKENS, **asked)
    assert all(torch.equal(both[row], MODEL.generate(TOKENS[row : row + 1], **asked)[0]) for row in range(2))


def test_threads_do_not_read_each_others_sets():
    fewer.attention.configure(MODEL, "tidal", keys=8, select=(1, 3))
    asked = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    alone = [MODEL.generate(TOKENS[row : row + 1], **asked) for row in range(2)]
    found = {}
    threads = [
        threading.Thread(target=lambda row=row: found.update({row: MODEL.generate(TOKENS[row : row + 1], **asked)}))
        for row in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[row], alone[row]) for row in range(2))


def test_the_random_twin_keeps_as_many_keys_and_the_new_one():
    method, one = Tidal(keys=7, select=(1,)), inputs(1, batch=2)
    twin = method.random_twin()
    with torch.no_grad():
        sets = twin.choose(one, Memory())
        kept = sets.mask(one)[:, :, 0]
        assert (kept.sum(-1) == 7).all() and kept[..., -1].all()
        assert not torch.equal(kept, by_hand(one, 7, "shared").expand_as(kept))
        memory = Memory()
        twin.attend(one, memory)
        two = inputs(2, batch=2)
        assert torch.allclose(twin.attend(two, memory), masked(two, kept), atol=1e-5)
    other = replace(twin, seed=1).choose(one, Memory()).mask(one)[:, :, 0]
    assert not torch.equal(kept, other)


def test_prompts_short_caches_and_layers_before_the_first_choice_are_dense():
    method = Tidal(keys=30, select=(1,))
    for one in (inputs(4), inputs(4, queries=30), inputs(4, queries=3), inputs(0, keys=40)):
        assert torch.equal(method.attend(one, Memory()), attend(one))


def test_an_oracle_reads_its_own_best_keys_and_a_window_the_nearest():
    one = inputs(3)
    with torch.no_grad():
        assert torch.allclose(
            OracleKeys(keys=7, select=(2,)).attend(one, Memory()), masked(one, by_hand(one, 7, "shared")), atol=1e-5
        )
        near = torch.zeros(1, 6, 30, dtype=torch.bool)
        near[..., [0, 1, 27, 28, 29]] = True
        window = SinksAndWindow(keys=5, select=(2,), sinks=2)
        assert torch.allclose(window.attend(one, Memory()), masked(one, near), atol=1e-5)
    assert isinstance(window.window(one), Chosen)


def test_the_mass_of_what_is_kept_is_noted_where_it_is_asked_for():
    method, memory = Tidal(keys=7, select=(1,)), Memory({MASS: {}})
    with torch.no_grad():
        chosen = inputs(1)
        method.attend(chosen, memory)
        one = inputs(2)
        method.attend(one, memory)
    weights = ((one.q @ one.k.repeat_interleave(3, 1).mT) * 0.25).softmax(-1)[:, :, 0]
    assert memory[MASS] == {2: pytest.approx(float((weights * by_hand(chosen, 7, "shared")).sum(-1).mean()))}


def test_settings_and_numbers_that_make_no_sense_are_refused():
    for wrong in ({"keys": 0}, {"sets": "each"}, {"select": ()}, {"select": (-1, 3)}):
        with pytest.raises(AttentionError):
            Tidal(**wrong)
    with pytest.raises(AttentionError, match="sinks"):
        SinksAndWindow(keys=4, sinks=4)
    assert Tidal(select=[5, 3, 5]).select == (3, 5)
    for grad in (False, True):
        one = inputs(1)
        one.q[0, 0, 0, 0] = torch.nan
        with torch.set_grad_enabled(grad), pytest.raises(AttentionError, match="NaN"):
            Tidal(keys=7, select=(1,)).attend(one, Memory())


def test_a_text_is_measured_as_it_would_be_decoded_and_the_model_left_as_it_was():
    MODEL.set_attn_implementation("eager")
    forced = TeacherForced(MODEL, TOKENS[:1], 20, chunk=7)
    dense = forced.nll()
    with torch.no_grad():
        logits = MODEL(TOKENS[:1]).logits[0, 20:-1]
    exact = torch.nn.functional.cross_entropy(logits, TOKENS[0, 21:], reduction="none")
    assert torch.allclose(dense, exact, atol=1e-3)
    assert torch.allclose(forced.nll("tidal", keys=40, select=(1,)), exact, atol=1e-3)
    assert not torch.allclose(forced.nll("tidal", keys=4, select=(1,)), exact, atol=1e-3)
    assert MODEL.config._attn_implementation == "eager"
    with pytest.raises(AttentionError, match="prompt of 39"):
        TeacherForced(MODEL, TOKENS[:1], 39)


def test_a_sweep_adds_the_layer_that_helps_most():
    seen = []
    found = sweep(MODEL, TOKENS[:1], 20, keys=6, select=(1,), add=2, progress=lambda layers, nats: seen.append(layers))
    assert [len(one.select) for one in found] == [1, 2, 3]
    assert seen[:4] == [(1,), (1, 2), (1, 3), (1, 4)]
    assert found[1].nll == min(found[1].tried.values()) and set(found[1].select) < set(found[2].select)
    with pytest.raises(AttentionError, match="0 to 3"):
        sweep(MODEL, TOKENS[:1], 20, select=(1,), add=4)
