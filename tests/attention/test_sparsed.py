"""SparseD against a plain loop over blocks, and its schedule: when it is dense, when the pattern is made and refused."""

import math

import pytest
import torch

from fewer.attention.denoising import Denoising
from fewer.attention.executors import reference
from fewer.attention.inputs import Inputs
from fewer.attention.memory import Memory
from fewer.attention.sparsed import SparseD
from fewer.attention.static import Window
from fewer.errors import AttentionError


def inputs(n=40, heads=4, kv_heads=2, batch=2, dim=8, seed=0, layer=0, causal=False):
    draws = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(batch, h, n, dim, generator=draws) for h in (heads, kv_heads, kv_heads))
    return Inputs(2 * q, k, v, dim**-0.5, causal, layer)


def told(step, steps=20, generated=16):
    memory = Memory()
    Denoising(step, steps, generated).tell(memory)
    return memory


def by_loops(given, method, generated):
    """The card's algorithm for one head and one block of queries at a time."""
    n, b = given.keys, method.block
    nb = math.ceil(n / b)
    first = min([i for i in range(nb) if n - i * b <= generated] + [nb - 1])
    kept = torch.zeros(given.batch, given.heads, nb, nb, dtype=torch.bool)
    k = given.k.double().repeat_interleave(given.share, 1)
    for s in range(given.batch):
        for h in range(given.heads):
            for i in range(nb):
                q = given.q[s, h, i * b : (i + 1) * b].double()
                weights = (q @ k[s, h].T * given.scale).softmax(-1)
                means = torch.stack([weights[:, j * b : (j + 1) * b].mean() for j in range(nb)])
                best = means.topk(min(int(nb * method.select) + 1, nb)).indices
                if method.sides == "joint":
                    kept[s, h, i, best] = True
                    continue
                if method.sides == "strict" and first:
                    best = means[:first].topk(min(int(first * method.select) + 1, first)).indices
                kept[s, h, i, best[best < first]] = True
                own = (q @ k[s, h, first * b :].T * given.scale).softmax(-1)
                means = torch.stack([own[:, j * b : (j + 1) * b].mean() for j in range(nb - first)])
                kept[s, h, i, first + means.topk(min(int((nb - first) * method.select) + 1, nb - first)).indices] = True
    return kept


@pytest.mark.parametrize("sides", ["isolated", "joint", "strict"])
@pytest.mark.parametrize(
    ("n", "generated", "block"), [(40, 16, 8), (41, 16, 8), (37, 37, 8), (64, 8, 16), (33, 3, 8), (9, 9, 16)]
)
def test_the_pattern_is_that_of_plain_loops(sides, n, generated, block):
    method, given = SparseD(select=0.3, block=block, sides=sides), inputs(n)
    assert torch.equal(method.choose(given, told(0, generated=generated)).blocks, by_loops(given, method, generated))


def test_select_of_half_of_four_blocks_keeps_three():
    method = SparseD(select=0.5, block=8, sides="joint")
    assert (method.choose(inputs(32), told(0)).blocks.sum(-1) == 3).all()


def test_generated_blocks_have_their_quota_though_all_attention_is_in_the_prompt():
    given = inputs(64)
    k = given.k.clone()
    k[:, :, :32] = given.q[:, ::2].mean(2, keepdim=True) * 50  # every query's weight is in the first half
    given = Inputs(given.q.abs(), k.abs() * (torch.arange(64) < 32)[:, None], given.v, given.scale, False)
    memory = told(0, generated=32)
    isolated, joint = (SparseD(0.3, 8, sides=s).choose(given, memory).blocks[..., 4:].sum(-1) for s in ("isolated", "joint"))
    assert (isolated == 2).all() and (joint == 0).all()


def test_steps_up_to_the_borders_are_dense_and_those_after_read_the_pattern_of_that_step():
    method, steps = SparseD(select=0.2, block=8, skip=0.2), 20
    memory, dense = Memory(), method.dense_steps(steps)
    assert dense == int(steps * 0.2) + 2
    for step in range(steps):
        given = inputs(seed=step)
        Denoising(step, steps, 16).tell(memory)
        out = method.attend(given, memory)
        if step == dense - 1:
            pattern = method.choose(given, memory)
        expected = reference(given) if step < dense else reference(given, pattern)
        assert torch.allclose(out, expected, atol=1e-5), step


def test_without_a_dense_step_the_pattern_is_made_and_read_at_step_0():
    method, given, memory = SparseD(select=0.2, block=8, skip=None), inputs(), told(0)
    assert method.dense_steps(20) == 0
    assert torch.allclose(method.attend(given, memory), reference(given, method.choose(given, memory)), atol=1e-5)
    assert method.spent(memory).dense == 0
    assert SparseD(skip=0.0).dense_steps(20) == 2


def test_a_new_generation_forgets_the_pattern_of_the_last():
    method, memory = SparseD(select=0.2, block=8, skip=None), told(0)
    method.attend(inputs(seed=0), memory)
    given = inputs(n=24, seed=1)
    Denoising(0, 20, 16).tell(memory)
    assert torch.allclose(method.attend(given, memory), reference(given, method.choose(given, memory)), atol=1e-5)


def test_what_a_generation_spent_counts_dense_steps_and_the_pattern():
    method, memory = SparseD(select=0.3, block=8, skip=0.2), Memory()
    for layer in range(2):
        for step in range(20):
            Denoising(step, 20, 16).tell(memory)
            given = inputs(n=41, layer=layer)
            method.attend(given, memory)
    spent = method.spent(memory)
    assert spent.density == pytest.approx(method.choose(given, memory).density(given))
    assert spent.density > 0.3
    assert spent.dense == 6 / 20
    assert spent.total == pytest.approx(0.3 + 0.7 * spent.density + 0.5 / 20)
    assert SparseD().spent(Memory()) == (1, 1, 1)


def test_the_random_twin_keeps_as_many_blocks_of_each_row_and_side_and_other_ones():
    given, memory = inputs(64), told(0, generated=32)
    for sides in ("isolated", "strict"):
        method = SparseD(0.3, 8, sides=sides)
        ours, twins = (m.choose(given, memory).blocks for m in (method, method.random_twin()))
        for side in (slice(0, 4), slice(4, 8)):
            assert torch.equal(ours[..., side].sum(-1), twins[..., side].sum(-1))
        assert not torch.equal(ours, twins)
    assert method.random_twin().dense_steps(20) == method.dense_steps(20)


def test_windows_keep_as_many_blocks_of_each_row_the_nearest_ones():
    given, memory = inputs(64), told(0, generated=32)
    ours, window = (m(0.3, 8).choose(given, memory).blocks for m in (SparseD, Window))
    assert torch.equal(ours.sum(-1), window.sum(-1))
    count = int(window[0, 0, 4].sum())
    assert window[0, 0, 4].nonzero().flatten().tolist() == sorted(sorted(range(8), key=lambda j: abs(j - 4))[:count])
    sinks = Window(0.3, 8, sinks=1).choose(given, memory).blocks
    assert sinks[..., 0].all() and torch.equal(sinks.sum(-1), ours.sum(-1))


def test_one_pattern_for_all_heads_is_the_mean_of_theirs():
    given, memory = inputs(64), told(0)
    shared = SparseD(0.3, 8, sides="joint", shared=True)
    assert (shared.choose(given, memory).blocks == shared.choose(given, memory).blocks[:, :1]).all()
    means = SparseD(0.3, 8, sides="joint").measured(given, memory)[:, :, 0].mean(1)
    kept = torch.zeros_like(means, dtype=torch.bool).scatter_(-1, means.topk(3).indices, True)
    assert torch.equal(shared.choose(given, memory).blocks[:, 0], kept)


def test_causal_calls_stay_dense():
    given = inputs(causal=True)
    assert torch.allclose(SparseD(0.1, 8).attend(given, Memory()), reference(given), atol=1e-5)


def test_what_would_mix_patterns_is_refused():
    method = SparseD(0.3, 8, skip=None)
    with pytest.raises(AttentionError, match="no sampler has said"):
        method.attend(inputs(), Memory())
    memory = told(0)
    method.attend(inputs(), memory)
    with pytest.raises(AttentionError, match="twice in step 1"):
        for _ in range(2):
            Denoising(1, 20, 16).tell(memory)
            method.attend(inputs(), memory)
    Denoising(3, 20, 16).tell(memory)
    with pytest.raises(AttentionError, match="does not follow upon"):
        method.attend(inputs(), memory)
    Denoising(2, 20, 16).tell(memory)
    with pytest.raises(AttentionError, match="does not follow upon"):
        method.attend(inputs(n=48), memory)
    with pytest.raises(AttentionError, match="begin a generation at step 0"):
        method.attend(inputs(), told(7))


def test_two_lengths_in_one_step_are_refused_where_the_pattern_is_made():
    method, memory = SparseD(0.3, 8, skip=0.0), told(1)
    method.attend(inputs(n=40, batch=1), memory)
    with pytest.raises(AttentionError, match="one by one"):
        method.attend(inputs(n=33, batch=1), memory)


def test_cached_keys_and_settings_out_of_range_are_refused():
    given = inputs()
    with pytest.raises(AttentionError, match="Turn caches off"):
        SparseD(0.3, 8, skip=None).attend(Inputs(given.q[:, :, :5], given.k, given.v, 1.0, False), told(0))
    for wrong in ({"select": 1.5}, {"block": 0}, {"skip": 1.0}, {"sides": "both"}):
        with pytest.raises(AttentionError):
            SparseD(**wrong)
