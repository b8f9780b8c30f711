"""A comparison of all methods measures what a count by hand measures, and shows it."""

import json
import math
import re
from dataclasses import replace

import pytest
import torch
from small_llama import small_llama, some_tokens
from test_registered import mistral, mixed
from transformers import BertConfig, BertModel

from fewer.attention.anchor import Anchor
from fewer.attention.comparing import arms, compare
from fewer.attention.comparing.calls import Call, Reader
from fewer.attention.comparing.maps import SIDE, kept_map, mass_map
from fewer.attention.comparing.page import outcome, page, write
from fewer.attention.comparing.table import table
from fewer.attention.decode_baselines import SinksAndWindow
from fewer.attention.families.ada_snapkv import AdaSnapKV
from fewer.attention.families.block import BlockAttention
from fewer.attention.families.flex_prefill import FlexPrefill
from fewer.attention.families.local import LocalAttention
from fewer.attention.families.quest import Quest
from fewer.attention.families.snapkv import SnapKV
from fewer.attention.families.vertical_slash import VerticalSlashAttention
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Everything
from fewer.attention.settings import NAMES, configure, named
from fewer.attention.tidal import Tidal
from fewer.attention.watch import watched
from fewer.errors import AttentionError

COUNT, STEPS = 120, 3
TOKENS = some_tokens(1, COUNT)
LINES = {"window": 32, "sinks": 2, "nearest": 4}
SNAP = {"capacity": 30, "window": 16, "kernel": 3, "local": 4, "prefix": 2}
SMALL = {
    "dense": named("dense"),
    "anchor": Anchor(4.0, 8, 2),
    "local": LocalAttention(20, 2),
    "vertical_slash": VerticalSlashAttention(12, 12, **LINES),
    "block": BlockAttention(5, 8),
    "flex_prefill": FlexPrefill(alpha=0.3, min_budget=8, **LINES),
    "tidal": Tidal(keys=20, select=(1,)),
    "oracle_keys": named("oracle_keys", keys=20, select=(0,)),
    "sinks_and_window": SinksAndWindow(keys=20, select=(0,), sinks=2),
    "quest": Quest(24, 8),
    "snapkv": SnapKV(**SNAP),
    "ada_snapkv": AdaSnapKV(**SNAP),
}
"""All registered methods but SparseD's, small enough for the text."""


@pytest.fixture(scope="module")
def model():
    return small_llama(layers=3)


@pytest.fixture(scope="module")
def found(model):
    return compare(model, TOKENS, SMALL, STEPS, every=1)


@pytest.fixture(scope="module")
def weights(model):
    """Dense attention's weights, [layers, heads, queries, keys], by transformers."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        return torch.stack(model(TOKENS, output_attentions=True).attentions)[:, 0]


@pytest.fixture(scope="module")
def seen(model):
    inputs = []
    with torch.no_grad(), watched(configure(model, "dense"), lambda one, out: inputs.append(one)):
        model(TOKENS)
    return inputs


def row(found, name):
    return next(one for one in found.rows if one.name == name)


def test_all_registered_names_are_compared():
    assert set(SMALL) == set(NAMES) - {"sparsed"} == set(arms())


def test_everything_kept_is_all_of_the_weight_without_error(model):
    everything = {
        "dense": named("dense"),
        "anchor": Anchor(math.inf, 8, 2),
        "local": LocalAttention(COUNT),
        "block": BlockAttention(15, 8),
        "tidal": Tidal(keys=COUNT, select=(0,)),
        "quest": Quest(COUNT, 8),
        "snapkv": SnapKV(**{**SNAP, "capacity": COUNT}),
    }
    for one in compare(model, TOKENS, everything, STEPS).rows:
        for kept in (one.own, one.twin):
            assert (kept.density == 1).all(), one.name
            torch.testing.assert_close(kept.recall, torch.ones(3, 6), msg=one.name)
            assert (kept.error < 1e-5).all(), one.name


def test_recall_in_a_prompt_is_that_of_a_mask_by_hand(found, weights):
    position = torch.arange(COUNT)
    distance = position[:, None] - position
    mask = ((distance < 20) | (position < 2)) & (distance >= 0)
    own = row(found, "local").own
    torch.testing.assert_close(own.recall, (weights * mask).sum(-1).mean(-1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own.density, (mask.sum() / (distance >= 0).sum()).expand(3), atol=1e-6, rtol=0)


def test_recall_in_decoding_is_that_of_the_last_tokens(found, weights):
    expected = []
    for token in range(COUNT - STEPS, COUNT):
        kept = weights[:, :, token].clone()
        kept[..., 2 : token - 17] = 0  # two sinks, and eighteen keys up to the token's own
        expected.append(kept.sum(-1))
    own = row(found, "sinks_and_window").own
    torch.testing.assert_close(own.recall, torch.stack(expected).mean(0), atol=1e-5, rtol=1e-5)


def test_a_layer_reads_the_keys_that_the_layer_before_it_chose(found, weights):
    own = row(found, "tidal").own
    assert own.density[0] == own.density[1] == 1
    expected = []
    for token in range(COUNT - STEPS, COUNT):
        ranked = weights[1, :, token, :token].sum(0).topk(19).indices  # of the selection layer, over its heads
        expected.append(weights[2, :, token, [*ranked.tolist(), token]].sum(-1))
    torch.testing.assert_close(own.recall[2], torch.stack(expected).mean(0), atol=1e-5, rtol=1e-5)


def test_a_method_is_shown_the_prompt_before_the_first_token(seen):
    reader = Reader(SnapKV(**SNAP), STEPS)
    for inputs in seen:
        calls = reader.calls(inputs)
        assert [call.inputs.keys for call in calls] == [118, 119, 120]
        assert [call.keys.kept(call.inputs)[0].tolist() for call in calls] == [[30 + n] * 6 for n in (1, 2, 3)]


@pytest.mark.parametrize("name", set(SMALL) - {"local", "vertical_slash", "flex_prefill"})
def test_the_random_twin_keeps_as_many_cells_of_every_head(seen, name):
    own, twin = (Reader(method, STEPS) for method in (SMALL[name], SMALL[name].random_twin()))
    differs = False
    for inputs in seen:
        for ours, random in zip(own.calls(inputs), twin.calls(inputs), strict=True):
            assert torch.equal(ours.keys.kept(ours.inputs), random.keys.kept(random.inputs))
            differs |= not torch.equal(ours.keys.mask(ours.inputs), random.keys.mask(random.inputs))
    assert differs == (name != "dense")


@pytest.mark.parametrize("name", ["local", "vertical_slash", "flex_prefill"])
def test_the_random_twin_keeps_as_many_columns_and_diagonals(seen, name):
    for inputs in seen:
        ours, random = (Reader(m, 1).calls(inputs)[0].keys for m in (SMALL[name], SMALL[name].random_twin()))
        assert torch.equal(ours.columns.sum(-1), random.columns.sum(-1))
        assert torch.equal(ours.distances.sum(-1), random.distances.sum(-1)) and not torch.equal(
            ours.distances, random.distances
        )


def test_a_map_is_what_a_count_by_hand_gives():
    draws = torch.Generator().manual_seed(0)
    one = Inputs(*(torch.randn(1, h, 200, 8, generator=draws) for h in (2, 1, 1)), 0.5)
    keys = LocalAttention(40, 3).attended(one, {})
    kept, mass = (draw([Call(one, keys)], 1) for draw in (kept_map, mass_map))
    assert kept.shape == mass.shape == (SIDE, SIDE)
    mask, allowed, weights = keys.mask(one)[0, 1], one.allowed(), one.logits()[0, 1].softmax(-1)
    at = torch.arange(200) * SIDE // 200
    for r, c in ((0, 0), (95, 0), (95, 95), (60, 59), (60, 20), (40, 41)):
        cell = (at == r)[:, None] & (at == c)
        expected = mask[cell & allowed].float().mean()  # NaN where nothing is allowed
        torch.testing.assert_close(kept[r, c], expected, equal_nan=True)
        share = weights[cell].sum() / (at == r).sum() if (cell & allowed).any() else torch.tensor(math.nan)
        torch.testing.assert_close(mass[r, c], share, equal_nan=True)
    torch.testing.assert_close(mass.nansum(1), torch.ones(SIDE))


def test_maps_of_decoding_have_a_row_for_each_token(seen):
    calls = Reader(named("oracle_keys", keys=20, select=(0,)), STEPS).calls(seen[0])
    assert kept_map(calls, 0).shape == (STEPS, SIDE)
    torch.testing.assert_close(mass_map(calls, 0).nansum(1), torch.ones(STEPS))
    everything = [Call(call.inputs, Everything()) for call in calls]
    assert kept_map(everything, 0).nan_to_num(1.0).eq(1).all()


def test_maps_are_of_the_heads_that_lose_least_and_most(found):
    layers = sorted({one.layer for one in found.maps})
    assert layers == [0, 1, 2]
    recall = torch.stack([one.own.recall for one in found.rows]).mean(0)
    for layer in layers:
        heads = [one.head for one in found.maps if one.layer == layer]
        assert heads == sorted({int(recall[layer].argmin()), int(recall[layer].argmax())})
    assert all(set(one.kept) == set(SMALL) and set(one.mass) == {"prefill", "decode"} for one in found.maps)


def test_plain_values_are_json_and_all_there(found):
    said = json.loads(json.dumps(found.to_dict()))
    assert {key: said[key] for key in ("tokens", "steps", "every", "layers", "heads")} == {
        "tokens": COUNT,
        "steps": STEPS,
        "every": 1,
        "layers": [0, 1, 2],
        "heads": 6,
    }
    assert [one["name"] for one in said["methods"]] == list(SMALL)
    for one in said["methods"]:
        assert set(one) == {"name", "stage", "parameters", "density", "recall", "error", "by_layer", "random"}
        assert set(one["random"]) == {"density", "recall", "error", "by_layer"}
        assert len(one["by_layer"]["density"]) == len(one["by_layer"]["error"]) == 3 and len(one["by_layer"]["recall"][0]) == 6
        assert one["recall"] == pytest.approx(sum(map(sum, one["by_layer"]["recall"])) / 18, abs=1e-4)


def test_the_table_names_the_worst_layer_and_head(found):
    drawn = table(found)
    name, kept, _, recall, _, layer, head, _, _ = (list(column.cells) for column in drawn.columns)
    at, own = name.index(" block"), row(found, "block").own
    assert (kept[at], recall[at]) == (f"{own.density.mean():.3f}", f"{own.recall.mean():.3f}")
    assert layer[at] == f"{own.recall.mean(1).argmin()}: {own.recall.mean(1).min():.3f}"
    where = divmod(int(own.recall.argmin()), 6)
    assert head[at] == f"{where[0]}.{where[1]}: {own.recall.min():.3f}"


def test_a_layer_with_a_sliding_window_is_left_out():
    found = compare(mixed(), TOKENS, {"local": LocalAttention(20, 2)}, STEPS)
    assert found.layers == (0, 2) and row(found, "local").own.recall.shape == (2, 2)
    with pytest.raises(AttentionError, match="nothing to compare"):
        compare(mistral(), TOKENS, {"local": LocalAttention(20, 2)}, STEPS)


def test_the_page_needs_no_other_file(found, tmp_path):
    path = write(tmp_path / "new" / "page.html", found, "<a model>", "a text")
    own = re.sub(r"<script>.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert all(link.startswith(("#", "data:")) for link in re.findall(r'(?:src|href|srcset|action)="([^"]*)"', own))
    assert "@import" not in own and "url(" not in own and "&lt;a model&gt;" in own and "<a model>" not in own
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', own, re.DOTALL)[1])
    assert [one["name"] for one in data["methods"]] == [name for name in SMALL if name != "dense"]
    assert len(data["maps"]) == len(found.maps)
    assert data["maps"][0]["kept"]["block"][0][-1] is None  # the last key is none of the first query's
    assert data["methods"][0]["recall"]["own"][1][2] == pytest.approx(float(row(found, "anchor").own.recall[1, 2]), abs=1e-3)


def test_the_outcome_is_a_sentence_for_each_stage(found):
    said = outcome(found)
    assert said.startswith("In prompts, ") and " In decoding, " in said and "oracle" not in said
    whole = replace(found, rows=(row(found, "dense"),))
    assert outcome(whole).startswith("No method leaves anything out") and "No method" in page(whole, "m", "t")


def test_a_share_sizes_what_has_a_number():
    found = arms(["tidal", "quest", "block", "anchor"], 0.25, 400)
    assert (found["tidal"].keys, found["quest"].budget, found["block"].blocks) == (100, 96, 6)
    assert found["anchor"] == named("anchor") and arms(["tidal"])["tidal"] == named("tidal")


def test_what_cannot_be_compared_is_refused(model):
    for names, share, why in (
        (["ancor"], None, r'no attention is named "ancor".*anchor'),
        (["anchor", "anchor"], None, "once"),
        ([], None, "at least one"),
        (["anchor"], 0.0, "share"),
    ):
        with pytest.raises(AttentionError, match=why):
            arms(names, share)
    local = {"local": LocalAttention(20, 2)}
    config = BertConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    for network, tokens, methods, why in (
        (model, TOKENS, arms(["local", "sparsed"]), "sparsed: attention of denoising"),
        (model, some_tokens(2, 40), local, "shape"),
        (model, TOKENS[:, :3], local, "1 to n - 1 steps"),
        (model, some_tokens(1, 257), local, "256 positions"),
        (torch.nn.Linear(2, 2), TOKENS, local, "cannot be switched"),
        (BertModel(config).eval(), TOKENS, local, "not causal"),
    ):
        with pytest.raises(AttentionError, match=why):
            compare(network, tokens, methods, STEPS)
