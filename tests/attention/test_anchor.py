"""Anchor attention chooses what its reference chooses; what it is compared with keeps as much, chosen otherwise."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from fewer.attention.anchor import DENSITIES, Anchor
from fewer.attention.columns import BlockColumns, OracleColumns, PlainColumns
from fewer.attention.executors import attend
from fewer.attention.fidelity import fidelity
from fewer.attention.inputs import Inputs
from fewer.attention.memory import Memory
from fewer.errors import AttentionError
from fewer.kernels import attention_reference

COMPARED = [OracleColumns, BlockColumns, PlainColumns]


def drawn(n=150, queries=None, batch=2, heads=4, kv_heads=2, dim=16, layer=0, seed=0):
    draws = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(batch, h, t, dim, generator=draws) for h, t in ((heads, queries or n), (kv_heads, n), (kv_heads, n)))
    return Inputs(q, k, v, 0.3, layer=layer)


def chosen(method, one):
    return method.choose(one, Memory()).columns


@pytest.mark.parametrize("by", ["max", "sum"])
def test_a_case_by_hand(by):
    """Groups of two, blocks of one. The third group (queries 4 and 5) may keep keys 1 and 2, beside 0, 3 and its own."""
    q = torch.tensor([0.0, 0, 0, 0, 1, -2]).view(1, 1, 6, 1)
    k = torch.tensor([0.0, 3, -1, 0, 4, 0]).view(1, 1, 6, 1)
    one = Inputs(q, k, k, 1.0)
    # Query 4 has logits 0, 3, -1, 0, 4: anchor 4, or ln(1 + 1 + e^4) = 4.036. Query 5 has 0, -6, 2, 0, -8, 0: 0, or 1.0987.
    cases = {"max": ((-2.1, []), (-2.0, [2]), (0.9, [2]), (1.0, [1, 2])), "sum": ((-0.91, []), (-0.9, [2]), (1.04, [1, 2]))}
    for theta, wanted in cases[by]:
        columns = chosen(Anchor(theta=theta, block=1, step=2, anchor=by), one)
        assert columns[0, 0, 2].nonzero().flatten().tolist() == wanted
        assert not columns[0, 0, :2].any()  # nothing lies between the first key and those before these groups


@pytest.mark.parametrize("by", ["max", "sum"])
@pytest.mark.parametrize(("block", "step", "n"), [(16, 4, 150), (5, 3, 77), (8, 2, 64), (1, 1, 9), (16, 4, 65), (32, 2, 300)])
def test_it_is_its_reference(by, block, step, n):
    one = drawn(n)
    thetas = (1.2, 1.6, 2.0, 2.4) if by == "max" else (3.2, 3.6, 4.0, 4.4)
    method = Anchor(thetas, block, step, by)
    q, k, v, theta = one.q.double(), one.k.double(), one.v.double(), torch.tensor(thetas).double()
    expected = attention_reference.anchor_columns(q, k, theta, block, step, 0.3, by=by)
    assert torch.equal(chosen(method, one), expected)
    assert n < 77 or (expected.any() and not expected[:, :, -1, block : -2 * block * step].all())
    out = attention_reference.anchor(q, k, v, theta, block, step, 0.3, by=by).float()
    for grad in (False, True):  # by a kernel, where there is one, and by torch
        one.q.requires_grad_(grad)
        torch.testing.assert_close(method.attend(one, Memory()), out, atol=2e-5, rtol=0)


@pytest.mark.parametrize("by", ["max", "sum"])
@pytest.mark.parametrize(("block", "step"), [(16, 4), (8, 3)])
def test_infinite_thetas_keep_everything_and_only_what_is_near(by, block, step):
    one = drawn()
    dense = attend(one)
    everything, near = (Anchor(theta, block, step, by) for theta in (math.inf, -math.inf))
    torch.testing.assert_close(everything.attend(one, Memory()), dense, atol=2e-5, rtol=0)
    assert everything.choose(one, Memory()).density(one) == 1.0 and not chosen(near, one).any()
    mixed = replace(near, theta=(math.inf, -math.inf, math.inf, -math.inf)).attend(one, Memory())
    torch.testing.assert_close(mixed[:, ::2], dense[:, ::2], atol=2e-5, rtol=0)
    torch.testing.assert_close(mixed[:, 1::2], near.attend(one, Memory())[:, 1::2], atol=2e-5, rtol=0)


def test_a_larger_theta_keeps_more():
    one = drawn()
    columns = [chosen(Anchor(theta, 16, 2), one) for theta in (3.5, 4.0, 4.5, 5.0)]
    for fewer, more in pairwise(columns):
        assert (fewer <= more).all() and fewer.sum() < more.sum()


def test_what_is_no_long_prompt_has_dense_attention():
    method = Anchor(-math.inf, 16, 4)
    for one in (drawn(64), drawn(150, 40), drawn(150, 1), replace(drawn(), causal=False)):
        assert torch.equal(method.attend(one, Memory()), attend(one))
        assert torch.equal(method.random_twin().attend(one, Memory()), attend(one))


@pytest.mark.parametrize(("block", "step"), [(16, 4), (8, 3)])
def test_the_share_of_cells_is_noted_where_it_is_asked_for(block, step):
    method, one, memory = Anchor((3.5, 4.0, 4.5, math.inf), block, step), drawn(layer=3), Memory({DENSITIES: {}})
    method.attend(one, memory)
    assert memory[DENSITIES] == {3: pytest.approx(method.choose(one, Memory()).density(one))}


@pytest.mark.parametrize("theta", [4.2, (math.inf, 4.0, -math.inf, 4.3)])
def test_the_random_twin_keeps_as_many_columns_of_each_head_and_group(theta):
    method, one = Anchor(theta, 16, 2), drawn(300)
    twin = method.random_twin()
    ours, random = chosen(method, one), chosen(twin, one)
    assert torch.equal(ours.sum(-1), random.sum(-1)) and not torch.equal(ours, random)
    assert method.choose(one, Memory()).density(one) == twin.choose(one, Memory()).density(one)
    for group in range(random.shape[2]):  # no column twice: the first and the nearest are kept anyway
        assert not random[:, :, group, :16].any() and not random[:, :, group, max(0, group * 32 - 16) :].any()
    assert torch.equal(random, chosen(twin, one))
    for other in (chosen(replace(twin, seed=1), one), chosen(twin, replace(one, layer=1))):
        assert not torch.equal(random, other) and torch.equal(random.sum(-1), other.sum(-1))


@pytest.mark.parametrize("kind", COMPARED)
@pytest.mark.parametrize("theta", [4.2, (math.inf, 4.0, -math.inf, 4.3)])
def test_other_scores_keep_as_many_columns(kind, theta):
    of, one = Anchor(theta, 16, 2), drawn(300)
    method = kind(of=of)
    ours, other, noise = chosen(of, one), chosen(method, one), chosen(method.random_twin(), one)
    assert torch.equal(other.sum(-1), noise.sum(-1))
    if kind is PlainColumns:  # of the layer as a whole
        assert int(other.sum()) == int(ours.sum())
        scores = method.measured(one, Memory())
        assert scores[other].min() >= scores[~other].max()
    else:
        assert torch.equal(other.sum(-1), ours.sum(-1))
    assert torch.equal(method.attend(drawn(32), Memory()), attend(drawn(32)))
    expected = attention_reference.stripes(one.q.double(), one.k.double(), one.v.double(), other, 16, 2, 0.3).float()
    torch.testing.assert_close(method.attend(one, Memory()), expected, atol=2e-5, rtol=0)


def test_no_columns_hold_more_of_the_attention_than_the_oracles():
    of, one = Anchor(4.2, 16, 2), drawn(300)
    recall = {kind: fidelity(one, kind(of=of).choose(one, Memory())).recall for kind in (OracleColumns, BlockColumns)}
    for other in (of, of.random_twin()):
        assert (recall[OracleColumns] >= fidelity(one, other.choose(one, Memory())).recall).all()
    assert (recall[OracleColumns] > recall[BlockColumns]).all()
    assert (
        fidelity(one, of.choose(one, Memory())).recall.mean()
        > fidelity(one, of.random_twin().choose(one, Memory())).recall.mean()
    )


def test_blocks_of_columns_are_cut_only_where_the_count_ends():
    of, one = Anchor(4.2, 16, 2), drawn(300)
    blocks = torch.nn.functional.pad(chosen(BlockColumns(of=of), one), (0, 4)).unflatten(-1, (-1, 16)).sum(-1)
    assert (((blocks > 0) & (blocks < 16)).sum(-1) <= 1).all() and (blocks == 16).any()


def test_settings_and_numbers_that_make_no_sense_are_refused():
    for wrong in ({"block": 0}, {"step": 0}, {"anchor": "mean"}, {"theta": math.nan}, {"theta": (1.0, math.nan)}):
        with pytest.raises(AttentionError):
            Anchor(**wrong)
    assert Anchor(theta=[1.0, 2.0]) == Anchor(theta=(1.0, 2.0))  # as JSON gives it
    for block, step in ((16, 4), (8, 3)):
        for theta in ((1.0, 2.0), ()):
            with pytest.raises(AttentionError, match="for 4 heads"):
                Anchor(theta, block, step).attend(drawn(), Memory())
        for kind in ("q", "k"):
            one = drawn()
            getattr(one, kind)[0, 0, 5, 0] = math.nan
            for method in (
                Anchor(1.0, block, step),
                Anchor(1.0, block, step).random_twin(),
                OracleColumns(of=Anchor(1.0, block, step)),
            ):
                with pytest.raises(AttentionError, match="NaN"):
                    method.attend(one, Memory())
