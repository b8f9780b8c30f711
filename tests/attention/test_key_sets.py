"""Every key set is its definition, cell by cell, and its density is the mean of its mask."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.attention import keys as key_sets
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Blocks, Cells, Chosen, Everything, KeySet, Stripes, VerticalSlash, in_blocks
from fewer.errors import AttentionError


def some_inputs(batch=1, kv_heads=1, share=2, queries=6, keys=9, causal=True, dim=4, seed=0):
    draws = torch.Generator().manual_seed(seed)
    q = torch.randn(batch, kv_heads * share, queries, dim, generator=draws)
    k, v = torch.randn(2, batch, kv_heads, keys, dim, generator=draws)
    return Inputs(q, k, v, 0.5, causal)


@st.composite
def inputs(draw, causal=None):
    keys = draw(st.integers(1, 40))
    return some_inputs(
        draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, keys)), keys,
        draw(st.booleans()) if causal is None else causal,
    )  # fmt: skip


def masks(*shape):
    """Any bool tensor of the shape: from none to all of it."""
    return st.tuples(st.integers(0, 99), st.sampled_from([0.0, 0.2, 0.7, 1.0])).map(
        lambda drawn: torch.rand(shape, generator=torch.Generator().manual_seed(drawn[0])) < drawn[1]
    )


def by_definition(one: Inputs, kept) -> torch.Tensor:
    """kept(sequence, head, query, its position, key), asked for each cell that dense attention has."""
    cells = torch.zeros(one.batch, one.heads, one.queries, one.keys, dtype=torch.bool)
    for b, h, i, j in torch.cartesian_prod(*map(torch.arange, cells.shape)).view(-1, 4).tolist():
        position = one.keys - one.queries + i
        cells[b, h, i, j] = (j <= position or not one.causal) and kept(b, h, i, position, j)
    return cells


def agrees(keys: KeySet, one: Inputs, expected: torch.Tensor) -> None:
    assert torch.equal(keys.mask(one), expected)
    start, stop = one.queries // 3, one.queries - one.queries // 4
    assert torch.equal(keys.mask(one, start, stop), expected[:, :, start:stop])
    dense = by_definition(one, lambda *_: True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_sets, "ROWS", 7)
        assert torch.equal(torch.cat([mask for _, _, mask in keys.pieces(one)], 2), expected)
        assert torch.equal(keys.kept(one).expand(one.batch, one.heads), expected.sum((2, 3)))
        assert keys.density(one) == pytest.approx(float(expected.sum() / dense.sum()))


few = settings(max_examples=25, deadline=None)


@few
@given(one=inputs())
def test_everything_is_every_cell_of_dense_attention(one):
    agrees(Everything(), one, by_definition(one, lambda *_: True))
    assert Everything().density(one) == 1.0 and one.cells == int(one.allowed().sum())
    assert torch.equal(one.logits() > -math.inf, Everything().mask(one))


@few
@given(data=st.data(), one=inputs(), group=st.integers(1, 9), init=st.integers(0, 12), local=st.integers(0, 12))
def test_stripes_are_columns_for_a_group_the_first_keys_and_the_nearest(data, one, group, init, local):
    groups = -(-one.queries // group)
    columns = data.draw(masks(one.batch, one.heads, groups, one.keys))
    keys = Stripes(columns, group, init, local)
    before = one.keys - one.queries

    def kept(b, h, i, _, j):
        return bool(columns[b, h, i // group, j]) or j < init or j >= before + i // group * group - local

    agrees(keys, one, by_definition(one, kept))
    assert torch.equal(keys.kept(one), KeySet.kept(keys, one))


@few
@given(data=st.data(), one=inputs(), size=st.integers(1, 12))
def test_blocks_are_squares_of_queries_by_keys(data, one, size):
    blocks = data.draw(masks(one.batch, one.heads, -(-one.queries // size), -(-one.keys // size)))
    agrees(Blocks(blocks, size), one, by_definition(one, lambda b, h, i, _, j: blocks[b, h, i // size, j // size]))


@few
@given(data=st.data(), one=inputs())
def test_vertical_and_slash_are_columns_and_distances(data, one):
    columns, distances = data.draw(masks(one.batch, one.heads, one.keys)), data.draw(masks(one.batch, one.heads, one.keys))

    def kept(b, h, _, position, j):
        return bool(columns[b, h, j]) or (j <= position and bool(distances[b, h, position - j]))

    agrees(VerticalSlash(columns, distances), one, by_definition(one, kept))


@few
@given(data=st.data(), one=inputs(), sets=st.sampled_from(["shared", "kv", "head"]))
def test_chosen_keys_come_back_from_their_lists(data, one, sets):
    count = {"shared": 1, "kv": one.kv_heads, "head": one.heads}[sets]
    mask = data.draw(masks(one.batch, count, one.keys))
    keys = Chosen.of(mask)
    assert keys.indices.shape[2] == int(mask.sum(-1).max())
    for listed, own in zip(keys.indices.flatten(0, 1), mask.flatten(0, 1), strict=True):
        real = int(own.sum())
        assert listed[:real].tolist() == own.nonzero().flatten().tolist() and (listed[real:] == -1).all()
    agrees(keys, one, by_definition(one, lambda b, h, i, _, j: mask[b, h * count // one.heads, j]))


@few
@given(data=st.data(), one=inputs())
def test_cells_are_what_they_say_and_never_more_than_dense_attention_has(data, one):
    cells = data.draw(masks(one.batch, one.heads, one.queries, one.keys))
    agrees(Cells(cells), one, by_definition(one, lambda b, h, i, _, j: cells[b, h, i, j]))


def test_density_is_counted_by_hand():
    one = some_inputs(batch=2, queries=4, keys=6)  # 3 + 4 + 5 + 6 cells
    assert one.cells == 18 and one.before == 2
    columns = torch.zeros(2, 2, 2, 6, dtype=torch.bool)
    columns[1, 1, 1, 1] = True  # one column for the two last queries
    keys = Stripes(columns, group=2, init=1, local=1)
    # Group 0 begins at 2 and leaves nothing out. Group 1 begins at 4: key 0, and from 3 to its own.
    assert keys.kept(one).tolist() == [[3 + 4 + 3 + 4] * 2, [14, 16]]
    assert keys.density(one) == pytest.approx(58 / 72)


def test_scores_are_cut_into_blocks_and_the_last_is_filled_up():
    blocks = in_blocks(torch.arange(5.0)[None], 2, fill=-1.0)
    assert blocks.tolist() == [[[0.0, 1.0], [2.0, 3.0], [4.0, -1.0]]]
    assert in_blocks(torch.zeros(3, 4), 2, 0.0).shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("queries", "keys", "values"),
    [
        ((1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 5, 8)),
        ((1, 2, 4, 8), (2, 2, 4, 8), (2, 2, 4, 8)),
        ((1, 2, 4, 8), (1, 2, 4, 4), (1, 2, 4, 4)),
        ((1, 3, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
        ((1, 2, 4, 8), (1, 0, 4, 8), (1, 0, 4, 8)),
        ((1, 2, 5, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
        ((1, 2, 0, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
        ((2, 4, 8), (2, 4, 8), (2, 4, 8)),
    ],
)
def test_shapes_that_do_not_fit_together_are_refused(queries, keys, values):
    with pytest.raises(AttentionError, match="do not fit together"):
        Inputs(torch.zeros(queries), torch.zeros(keys), torch.zeros(values), 1.0)


def test_inputs_know_what_they_are():
    prompt, chunk, step = some_inputs(queries=9), some_inputs(queries=3), some_inputs(queries=1)
    assert [one.prefill for one in (prompt, chunk, step)] == [True, False, False]
    assert [one.decode for one in (prompt, chunk, step)] == [False, False, True]
    assert (prompt.batch, prompt.heads, prompt.kv_heads, prompt.share, prompt.dim) == (1, 2, 1, 2, 4)
    assert len({one.name for one in (prompt, chunk, step, replace(step, layer=1))}) == 4
    alone = some_inputs(queries=1, keys=1)
    assert not alone.prefill and not alone.decode


def test_products_are_those_of_each_head_with_its_own_keys():
    one = some_inputs(batch=2, kv_heads=2, share=3)
    expected = one.q @ one.k.repeat_interleave(3, 1).mT * 0.5
    torch.testing.assert_close(one.products(one.q), expected)
    torch.testing.assert_close(one.logits(2, 5), expected[:, :, 2:5].masked_fill(~one.allowed(2, 5), -math.inf))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("what", ["queries", "keys"])
def test_numbers_that_are_none_are_refused(bad, what):
    one = some_inputs()
    assert one.checked() is one
    (one.q if what == "queries" else one.k)[0, 0, -1, 0] = bad
    with pytest.raises(AttentionError, match=f"the {what} of layer 0 hold NaN"):
        one.checked()


def test_only_new_keys_are_looked_at_and_large_sums_are_no_fault():
    one = some_inputs(queries=2, keys=9)
    one.k[0, 0, 6] = math.nan  # an old one
    one.q[:] = 3e38
    assert one.checked() is one
