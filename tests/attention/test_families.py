"""Each family against plain loops over single queries and keys, and what all of them owe: twins, GQA, remainders."""

import math
from dataclasses import replace

import pytest
import torch

from fewer.attention.dense import DenseAttention
from fewer.attention.executors import reference
from fewer.attention.families.ada_snapkv import AdaSnapKV
from fewer.attention.families.block import BlockAttention, blocks_for, nominal_density
from fewer.attention.families.flex_prefill import FlexPrefill
from fewer.attention.families.local import LocalAttention
from fewer.attention.families.oracle_blocks import OracleBlocks
from fewer.attention.families.oracle_tokens import OracleTokens
from fewer.attention.families.quest import Quest
from fewer.attention.families.snapkv import SnapKV
from fewer.attention.families.vertical_slash import VerticalSlashAttention
from fewer.attention.inputs import Inputs
from fewer.attention.memory import Memory
from fewer.errors import AttentionError


def inputs(keys, queries=None, heads=4, kv_heads=2, batch=2, dim=8, seed=0, layer=0):
    draws = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(batch, h, keys, dim, generator=draws) for h in (heads, kv_heads, kv_heads))
    return Inputs(2 * q[:, :, -(queries or keys) :], k, v, dim**-0.5, True, layer)


def weights(given):
    """Exact attention, one head and one query at a time: [batch, heads, queries, keys]."""
    out = torch.zeros(given.batch, given.heads, given.queries, given.keys, dtype=torch.float64)
    for s in range(given.batch):
        for h in range(given.heads):
            for i in range(given.queries):
                seen = given.before + i + 1
                logits = given.k[s, h // given.share, :seen].double() @ given.q[s, h, i].double() * given.scale
                out[s, h, i, :seen] = logits.softmax(0)
    return out


def each(given, heads=None):
    return [(s, h) for s in range(given.batch) for h in range(heads or given.heads)]


def vertical_slash_by_loops(given, method, sizes=None):
    w, n = method.window, given.keys
    kept = torch.zeros(given.batch, given.heads, n, n, dtype=torch.bool)
    attention = weights(given)
    for s, h in each(given):
        columns = [sum(float(attention[s, h, i, j]) for i in range(n - w, n)) for j in range(n)]
        offsets = [sum(float(attention[s, h, i, i - d]) for i in range(n - w, n)) for d in range(n - w + 1)]
        vertical, slash = sizes(columns, offsets) if sizes else (method.vertical, method.slash)
        columns[: method.sinks] = [math.inf] * method.sinks
        offsets[: method.nearest] = [math.inf] * method.nearest
        best_columns = sorted(range(n), key=lambda j: -columns[j])[:vertical]
        best_offsets = sorted(range(len(offsets)), key=lambda d: -offsets[d])[:slash]
        for i in range(n):
            for j in range(i + 1):
                kept[s, h, i, j] = j in best_columns or i - j in best_offsets
    return kept


@pytest.mark.parametrize(("n", "window"), [(33, 8), (40, 1), (25, 24)])
def test_vertical_slash_keeps_the_columns_and_diagonals_of_plain_loops(n, window):
    method, given = VerticalSlashAttention(vertical=6, slash=5, window=window, sinks=2, nearest=3), inputs(n)
    kept = method.choose(given, Memory()).mask(given)
    slash = 5 if n - window + 1 >= 5 else n - window + 1  # there are no more diagonals that all last queries have
    assert torch.equal(kept, vertical_slash_by_loops(given, replace(method, slash=max(slash, 3))))
    assert torch.allclose(method.attend(given, Memory()), reference(given, method.choose(given, Memory())))


def test_flex_prefill_takes_the_smallest_sets_that_cover_alpha_but_no_fewer_than_its_floor():
    method, given = FlexPrefill(window=8, alpha=0.5, min_budget=3, sinks=2, nearest=3), inputs(30, seed=3)

    def sizes(columns, offsets):
        found = []
        for masses in (columns, offsets):
            total, count = 0.0, 0
            for mass in sorted(masses, reverse=True):
                total, count = total + mass / 8, count + 1
                if total > 0.5:
                    break
            else:
                count += 1
            found.append(max(3, count))
        return found

    assert torch.equal(method.choose(given, Memory()).mask(given), vertical_slash_by_loops(given, method, sizes))
    assert 0 <= method.floor_decides(given) < 1
    assert replace(method, alpha=0.0).floor_decides(given) == 1


def blocks_by_loops(given, method, score):
    b, n = method.size, given.keys
    nb = math.ceil(n / b)
    kept = torch.zeros(given.batch, given.heads, n, n, dtype=torch.bool)
    for s, h in each(given):
        for r in range(nb):
            scores = {c: math.inf if c in (0, r, r - 1) else score(s, h, r, c) for c in range(r + 1)}
            for c in sorted(scores, key=lambda c: -scores[c])[: method.blocks]:
                kept[s, h, r * b : (r + 1) * b, c * b : (c + 1) * b] = True
    return kept & torch.ones(n, n, dtype=torch.bool).tril()


@pytest.mark.parametrize("n", [40, 41, 39])
def test_blocks_are_those_of_plain_loops_with_a_last_block_of_any_length(n):
    method, given = BlockAttention(blocks=4, size=5), inputs(n)
    attention = weights(given)

    def pooled(s, h, r, c):
        q, k = given.q[s, h].double(), given.k[s, h // given.share].double()
        return float(q[r * 5 : (r + 1) * 5].mean(0) @ k[c * 5 : (c + 1) * 5].mean(0))

    def mass(s, h, r, c):
        return float(attention[s, h, r * 5 : (r + 1) * 5, c * 5 : (c + 1) * 5].sum())

    for arm, score in ((method, pooled), (OracleBlocks(blocks=4, size=5), mass)):
        assert torch.equal(arm.choose(given, Memory()).mask(given), blocks_by_loops(given, arm, score))


def test_the_number_of_blocks_for_a_density_is_that_of_the_closed_form():
    for n, size in ((40, 5), (41, 5), (256, 8)):
        rows = math.ceil(n / size)
        for blocks in range(3, rows + 1):
            kept = sum(min(row + 1, blocks) for row in range(rows))
            assert nominal_density(blocks, n, size) == pytest.approx(kept / (rows * (rows + 1) / 2))
            assert blocks_for(nominal_density(blocks, n, size), n, size) == blocks
    assert blocks_for(0.001, 256, 8) == 3
    with pytest.raises(AttentionError, match="lies in"):
        blocks_for(0.0, 256)


@pytest.mark.parametrize("share_pages", [True, False])
@pytest.mark.parametrize("keys", [21, 24, 25])
def test_quest_keeps_the_pages_of_the_largest_bounds_and_the_current_one(keys, share_pages):
    method, given = Quest(budget=8, page=4, share_pages=share_pages), inputs(keys, queries=1)
    kept = method.choose(given, Memory()).mask(given)
    current = (keys - 1) // 4
    for s, h in each(given):
        group = range(h // 2 * 2, h // 2 * 2 + 2) if share_pages else [h]
        bounds = []
        for p in range(current):
            page = given.k[s, h // 2, p * 4 : p * 4 + 4]
            bounds.append(
                sum(float(torch.maximum(given.q[s, g, 0] * page.amin(0), given.q[s, g, 0] * page.amax(0)).sum()) for g in group)
            )
        best = sorted(range(current), key=lambda p: -bounds[p])[:2]
        assert kept[s, h, 0].tolist() == [j // 4 in (*best, current) for j in range(keys)]


@pytest.mark.parametrize("method", [Quest(budget=8, page=4), Quest(budget=4, page=4, share_pages=False), OracleTokens(5)])
def test_several_queries_after_a_cache_choose_what_each_would_alone(method):
    whole, memory = inputs(31, queries=12), Memory()
    together = method.attend(whole, Memory())
    for i in range(12):
        seen = 19 + i + 1
        alone = Inputs(whole.q[:, :, i : i + 1], whole.k[:, :, :seen], whole.v[:, :, :seen], whole.scale)
        assert torch.allclose(method.attend(alone, memory)[:, :, 0], together[:, :, i], atol=1e-6)


def test_quest_extends_its_pages_and_makes_them_anew_for_another_cache(monkeypatch):
    method, memory, given = Quest(budget=8, page=4), Memory(), inputs(60, queries=1)
    expected = {n: method.pages(_first(given, n), Memory()) for n in range(20, 60)}
    for n in range(20, 60):
        found = method.pages(_first(given, n), memory)
        assert torch.equal(found.low, expected[n].low)
        assert torch.equal(found.high, expected[n].high)
    held = memory["quest", 4, 0].low
    method.pages(_first(given, 60), memory)
    assert memory["quest", 4, 0].low is held  # nothing was computed again
    other = inputs(60, queries=1, seed=1)
    assert torch.equal(method.pages(other, memory).low, method.pages(other, Memory()).low)


def _first(given, n):
    return Inputs(given.q, given.k[:, :, :n], given.v[:, :, :n], given.scale)


def snapkv_by_loops(given, method, reduce):
    """Importance of each KV head's keys, pooled, then forced: [batch, kv_heads, keys] as nested lists."""
    attention, n, half = weights(given), given.keys, method.kernel // 2
    found = {}
    for s, g in each(given, given.kv_heads):
        rows = [attention[s, h, i] for h in range(2 * g, 2 * g + 2) for i in range(n - method.window, n)]
        raw = [reduce([float(row[j]) for row in rows]) for j in range(n)]
        smooth = [sum(raw[m] for m in range(j - half, j + half + 1) if 0 <= m < n) / method.kernel for j in range(n)]
        for j in [*range(method.prefix), *range(n - method.local, n)]:
            smooth[j] = math.inf
        found[s, g] = smooth
    return found


def prompt_then(method, n=40, later=5):
    """The keys that one query `later` tokens after a prompt of n reads, with that query's inputs."""
    whole, memory = inputs(n + later), Memory()
    prompt = Inputs(whole.q[:, :, :n], whole.k[:, :, :n], whole.v[:, :, :n], whole.scale)
    assert torch.allclose(method.attend(prompt, memory), reference(prompt), atol=1e-6)
    step = Inputs(whole.q[:, :, -1:], whole.k, whole.v, whole.scale)
    return prompt, step, method.choose(step, memory).mask(step)[:, :, 0]


def test_snapkv_keeps_the_keys_of_plain_loops_and_all_later_ones():
    method = SnapKV(capacity=12, window=6, kernel=3, local=4, prefix=2)
    prompt, _, kept = prompt_then(method)
    for (s, g), smooth in snapkv_by_loops(prompt, method, sum).items():
        best = sorted(range(40), key=lambda j, smooth=smooth: -smooth[j])[:12]
        for h in (2 * g, 2 * g + 1):
            assert kept[s, h].tolist() == [j in best or j >= 40 for j in range(45)]


def test_ada_snapkv_gives_each_head_its_floor_and_the_rest_to_the_best_pairs():
    method = AdaSnapKV(capacity=12, window=6, kernel=3, local=4, prefix=2, floor=0.7)
    prompt, _, kept = prompt_then(method)
    smooth = snapkv_by_loops(prompt, method, max)
    for s in range(2):
        chosen = {g: set(sorted(range(40), key=lambda j, g=g: -smooth[s, g][j])[:8]) for g in range(2)}  # int(.7 * 12)
        rest = [(g, j) for g in range(2) for j in range(40) if j not in chosen[g]]
        for g, j in sorted(rest, key=lambda at: -smooth[s, at[0]][at[1]])[: 2 * (12 - 8)]:
            chosen[g].add(j)
        for g in range(2):
            assert kept[s, 2 * g].tolist() == [j in chosen[g] or j >= 40 for j in range(45)]
    assert kept.sum() == 2 * 2 * 2 * (12 + 5)


def test_snapkv_refuses_a_cache_that_it_did_not_read():
    method, memory = SnapKV(capacity=12, window=6, kernel=3, local=4, prefix=2), Memory()
    with pytest.raises(AttentionError, match="does not know this cache"):
        method.attend(inputs(30, queries=1), memory)
    method.attend(inputs(29, seed=1), memory)
    with pytest.raises(AttentionError, match="does not know this cache"):
        method.attend(inputs(30, queries=1), memory)


def test_local_attention_keeps_sinks_and_window():
    for given in (inputs(30), inputs(30, queries=1), inputs(30, queries=7)):
        kept = LocalAttention(window=5, sinks=2).choose(given, Memory()).mask(given)
        for i in range(given.queries):
            own = given.before + i
            assert kept[1, 3, i].tolist() == [j <= own and (j < 2 or own - j < 5) for j in range(30)]


def test_the_oracle_of_tokens_keeps_the_largest_weights_of_each_query():
    given = inputs(20)
    kept, attention = OracleTokens(4).choose(given, Memory()).mask(given), weights(given)
    for s, h in each(given):
        for i in range(20):
            others = sorted(range(i), key=lambda j, row=attention[s, h, i]: -float(row[j]))[:3]
            assert kept[s, h, i].nonzero().flatten().tolist() == sorted([*others, i])


SMALL = [
    VerticalSlashAttention(vertical=6, slash=5, window=8, sinks=2, nearest=3),
    FlexPrefill(window=8, alpha=0.5, min_budget=4, sinks=2, nearest=3),
    BlockAttention(blocks=4, size=4),
    OracleBlocks(blocks=4, size=4),
    OracleTokens(tokens=5),
    LocalAttention(window=5, sinks=2),
]
LATER = [
    Quest(budget=8, page=4),
    Quest(budget=8, page=4, share_pages=False),
    OracleTokens(tokens=5),
    LocalAttention(window=5, sinks=2),
]


@pytest.mark.parametrize("method", SMALL, ids=lambda m: m.slug)
def test_twins_in_prefilling_keep_as_many_candidates_and_what_is_always_kept(method):
    given, twin = inputs(41), method.random_twin()
    assert twin.kind == "random"
    chosen = {}
    for name, arm in (("method", method), ("twin", twin)):
        seen = []
        object.__setattr__(arm, "key_set", lambda c, i, seen=seen, arm=arm: seen.append(c) or type(arm).key_set(arm, c, i))
        chosen[name] = (arm.choose(given, Memory()).mask(given), seen[0])
    assert torch.equal(chosen["method"][1].sum(-1), chosen["twin"][1].sum(-1))
    assert not torch.equal(chosen["method"][0], chosen["twin"][0])
    assert chosen["twin"][0].diagonal(dim1=2, dim2=3).all()
    assert not (chosen["twin"][0] & ~given.allowed()).any()


@pytest.mark.parametrize("method", LATER, ids=lambda m: f"{m.slug}-{getattr(m, 'share_pages', '')}")
def test_twins_in_decoding_keep_as_many_keys(method):
    given = inputs(41, queries=1)
    ours, twins = (arm.choose(given, Memory()).mask(given) for arm in (method, method.random_twin()))
    if not isinstance(method, LocalAttention):  # a random distance may meet a sink
        assert torch.equal(ours.sum(-1), twins.sum(-1))
    assert not torch.equal(ours, twins)


@pytest.mark.parametrize("kind", [SnapKV, AdaSnapKV])
def test_twins_of_snapkv_evict_as_many_keys_of_each_head(kind):
    method = kind(capacity=12, window=6, kernel=3, local=4, prefix=2)
    ours, twins = (prompt_then(arm)[2] for arm in (method, method.random_twin()))
    assert torch.equal(ours.sum(-1), twins.sum(-1))
    assert not torch.equal(ours, twins)


@pytest.mark.parametrize("queries", [1, 6])
@pytest.mark.parametrize(
    "method",
    [
        Quest(budget=40, page=4),
        Quest(budget=36, page=4, share_pages=False),
        LocalAttention(window=41),
        OracleTokens(tokens=41),
        SnapKV(capacity=41, window=6, kernel=3, local=4, prefix=2),
        AdaSnapKV(capacity=41, window=6, kernel=3, local=4, prefix=2),
    ],
    ids=lambda m: getattr(m, "slug", m),
)
def test_a_budget_for_everything_is_dense_attention(method, queries):
    given, memory = inputs(39, queries=queries), Memory()
    assert torch.equal(method.attend(given, memory), DenseAttention().attend(given, memory))


@pytest.mark.parametrize(
    "method", [*SMALL[:4], SnapKV(capacity=12, window=6, kernel=3, local=4, prefix=2)], ids=lambda m: m.slug
)
def test_a_larger_share_keeps_more(method):
    given, kept = inputs(64), []
    for share in (0.2, 0.5, 1.0):
        arm = method.with_share(share, 64)
        if isinstance(arm, SnapKV):
            kept.append(arm.capacity / 64)
        else:
            kept.append(arm.choose(given, Memory()).density(given))
        assert arm.scoring_flops(given) > 0 or arm.capacity == 64
    assert kept[0] < kept[1] < kept[2] or (kept[0] == kept[1] < kept[2] == 1)
    assert kept[2] > 0.95


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: VerticalSlashAttention(slash=10), "64 diagonals"),
        (lambda: BlockAttention(blocks=2), "at least 3 blocks"),
        (lambda: FlexPrefill(alpha=1.5), "share in"),
        (lambda: FlexPrefill(min_budget=10), "min_budget"),
        (lambda: Quest(budget=10, page=4), "multiple of page"),
        (lambda: SnapKV(capacity=100), "132 keys"),
        (lambda: SnapKV(kernel=4), "odd"),
        (lambda: AdaSnapKV(floor=2.0), "floor"),
        (lambda: LocalAttention(window=0), "window"),
        (lambda: OracleTokens(tokens=0), "own key"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(make, said):
    with pytest.raises(AttentionError, match=said):
        make()
