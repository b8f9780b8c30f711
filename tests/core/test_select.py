"""Every pattern under every budget, held against a slow selection by Python's own sort."""

import itertools
import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fewer.core import (
    NM,
    AbsTopK,
    Block,
    Count,
    Density,
    Mass,
    Rows,
    Slices,
    Stripe,
    Threshold,
    TopK,
    Unstructured,
    noise,
    select,
    select_all,
)
from fewer.errors import BudgetError, PatternError, ScoreError

quick = settings(deadline=None, max_examples=60)
DTYPES = [torch.float32, torch.float64, torch.bfloat16]


@st.composite
def tensors(draw, max_dims=3, max_side=7, min_side=0, sides=None):
    """Scores of odd shapes; integer values between -3 and 3, so that nearly all are tied."""
    shape = sides or tuple(draw(st.lists(st.integers(min_side, max_side), min_size=1, max_size=max_dims)))
    size = math.prod(shape)
    values = draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
    scores = torch.tensor(values, dtype=draw(st.sampled_from(DTYPES))).reshape(shape)
    if scores.ndim > 1 and draw(st.booleans()):
        scores = scores.transpose(0, -1).contiguous().transpose(0, -1)  # the same values, not contiguous
    return scores


def best(candidates: list, count: int) -> set:
    """The `count` best of [(score, key)]: largest first, the earlier of equals first."""
    ranked = sorted(range(len(candidates)), key=lambda i: (-candidates[i][0], i))
    return {candidates[i][1] for i in ranked[:count]}


def entries(scores: torch.Tensor) -> list:
    return [(float(scores[i]), i) for i in itertools.product(*map(range, scores.shape))]


def mask_of(kept: set, shape) -> torch.Tensor:
    mask = torch.zeros(tuple(shape), dtype=torch.bool)
    for place in kept:
        mask[place] = True
    return mask


def wanted_count(budget, members: int) -> int:
    return budget.k if isinstance(budget, Count) else math.ceil(round(budget.share * members, 5))


def budgets(members: int):
    densities = st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 0.9, 1.0]).map(Density)
    return densities | st.integers(0, members).map(Count)


@quick
@given(scores=tensors(), data=st.data())
@example(scores=torch.zeros(0), data=None)
@example(scores=torch.zeros(0, 5), data=None)
@example(scores=torch.zeros(5, 0), data=None)
@example(scores=torch.tensor([[2.0]]), data=None)
def test_a_layer_keeps_its_best_entries_and_exactly_as_many_as_the_budget_says(scores, data):
    for scope in ("layer", "global"):
        budget = data.draw(budgets(scores.numel())) if data else Density(0.5)
        expected = best(entries(scores), wanted_count(budget, scores.numel()))
        assert torch.equal(select(scores, Unstructured(scope), budget).mask, mask_of(expected, scores.shape))


@quick
@given(scores=tensors(), data=st.data())
@example(scores=torch.zeros(0, 5), data=None)
@example(scores=torch.zeros(5, 0), data=None)
@example(scores=torch.zeros(0), data=None)
def test_each_row_keeps_its_own_best(scores, data):
    members = math.prod(scores.shape[1:])
    budget = data.draw(budgets(members)) if data else Density(0.5)
    expected = set()
    for row in range(scores.shape[0]):
        expected |= best([e for e in entries(scores) if e[1][0] == row], wanted_count(budget, members))
    assert torch.equal(select(scores, Rows(), budget).mask, mask_of(expected, scores.shape))


@quick
@given(
    rows=st.integers(1, 4), members=st.integers(17, 60), count=st.integers(0, 60), dtype=st.sampled_from(DTYPES), data=st.data()
)
def test_long_rows_full_of_ties_keep_the_lowest_indices(rows, members, count, dtype, data):
    values = st.lists(st.integers(0, 3), min_size=rows * members, max_size=rows * members)
    scores = torch.tensor(data.draw(values), dtype=dtype).view(rows, members)
    count = min(count, members)
    expected = set()
    for row in range(rows):
        expected |= best([(float(scores[row, j]), (row, j)) for j in range(members)], count)
    assert torch.equal(select(scores, "row", Count(count)).mask, mask_of(expected, scores.shape))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.int64, torch.float16])
@pytest.mark.parametrize("pattern", ["layer", "row", "2:4", "block:2x2", "neuron", "column", "topk"])
def test_scores_of_every_number_type_can_be_ranked(pattern, dtype):
    scores = torch.arange(80).reshape(4, 20) % 7
    same = select(scores.double(), pattern, Density(0.5)).mask
    assert torch.equal(select(scores.to(dtype), pattern, Density(0.5)).mask, same)


@quick
@given(data=st.data(), axis=st.integers(-3, 2), m=st.integers(1, 5), groups=st.integers(0, 3))
def test_n_of_m_keeps_the_best_n_of_every_group_along_any_axis(data, axis, m, groups):
    sides = [data.draw(st.integers(1, 3)) for _ in range(3)]
    sides[axis] = m * groups
    n = data.draw(st.integers(0, m))
    scores = data.draw(tensors(sides=tuple(sides)))
    expected = set()
    for place in itertools.product(*map(range, sides)):
        if place[axis] % m == 0:
            group = [(*place[: axis % 3], place[axis] + k, *place[axis % 3 + 1 :]) for k in range(m)]
            expected |= best([(float(scores[p]), p) for p in group], n)
    assert torch.equal(select(scores, NM(n, m, axis)).mask, mask_of(expected, sides))


@quick
@given(
    data=st.data(),
    r=st.integers(1, 3),
    c=st.integers(1, 3),
    scope=st.sampled_from(["layer", "row"]),
    reduce=st.sampled_from(["mean", "max"]),
)
def test_blocks_are_kept_whole_and_the_best_tiles_stay(data, r, c, scope, reduce):
    lead = data.draw(st.sampled_from([(), (2,)]))
    down, across = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    scores = data.draw(tensors(sides=(*lead, r * down, c * across)))
    scores = scores * (r * c)  # so that means of tiles are exact, also in bfloat16
    budget = data.draw(budgets(across if scope == "row" else down * across))
    mask = torch.zeros(scores.shape, dtype=torch.bool)
    for first in itertools.product(*map(range, lead)):
        tiles = [(i, j) for i in range(down) for j in range(across)]
        units = [tiles] if scope == "layer" else [[t for t in tiles if t[0] == i] for i in range(down)]
        for unit in units:
            scored = []
            for i, j in unit:
                tile = scores[first][i * r : i * r + r, j * c : j * c + c].double()
                scored.append((float(tile.mean() if reduce == "mean" else tile.max()), (i, j)))
            for i, j in best(scored, wanted_count(budget, len(unit))):
                mask[first][i * r : i * r + r, j * c : j * c + c] = True
    assert torch.equal(select(scores, Block(r, c, scope, reduce), budget).mask, mask)


@quick
@given(data=st.data(), queries=st.integers(1, 3), groups=st.integers(1, 3), keys=st.integers(1, 6))
def test_a_stripe_chooses_keys_once_for_each_group_of_queries(data, queries, groups, keys):
    scores = data.draw(tensors(sides=(queries * groups, keys)))
    count = data.draw(st.integers(0, keys))
    mask = select(scores.float(), Stripe(queries), Count(count)).mask
    for g in range(groups):
        part = scores[g * queries : (g + 1) * queries].double().sum(0)
        expected = mask_of(best([(float(part[k]), (k,)) for k in range(keys)], count), (keys,))
        assert all(torch.equal(row, expected) for row in mask[g * queries : (g + 1) * queries])


@quick
@given(data=st.data(), axis=st.integers(-3, 2), width=st.integers(1, 3), reduce=st.sampled_from(["mean", "max"]))
def test_heads_along_any_axis_are_kept_whole(data, axis, width, reduce):
    sides = [data.draw(st.integers(1, 3)) for _ in range(3)]
    heads = data.draw(st.integers(1, 4))
    sides[axis] = width * heads
    scores = data.draw(tensors(sides=tuple(sides))).float()
    budget = data.draw(budgets(heads))
    parts = scores.double().movedim(axis, 0).reshape(heads, -1)
    value = [float(p.sum() if reduce == "mean" else p.max()) for p in parts]
    kept = {h for (h,) in best([(value[h], (h,)) for h in range(heads)], wanted_count(budget, heads))}
    mask = select(scores * math.prod(sides), Slices(axis, width, reduce), budget).mask.movedim(axis, 0)
    assert [bool(m.all()) and bool(m.any()) for m in mask.unflatten(0, (heads, width))] == [h in kept for h in range(heads)]
    assert int(mask.sum()) == len(kept) * math.prod(sides) // heads


@quick
@given(scores=tensors(), data=st.data())
@example(scores=torch.zeros(3, 0), data=None)
@example(scores=torch.zeros(0, 3), data=None)
def test_top_k_by_magnitude_keeps_both_signs(scores, data):
    budget = data.draw(budgets(scores.shape[-1])) if data else Density(0.5)
    signed, absolute = set(), set()
    for first in itertools.product(*map(range, scores.shape[:-1])):
        vector = [(float(scores[(*first, j)]), (*first, j)) for j in range(scores.shape[-1])]
        signed |= best(vector, wanted_count(budget, len(vector)))
        absolute |= best([(abs(s), p) for s, p in vector], wanted_count(budget, len(vector)))
    assert torch.equal(select(scores, TopK(), budget).mask, mask_of(signed, scores.shape))
    assert torch.equal(select(scores, AbsTopK(), budget).mask, mask_of(absolute, scores.shape))


@quick
@given(scores=tensors(max_dims=2), share=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
@example(scores=torch.zeros(2, 0), share=0.5)
@example(scores=torch.zeros(0, 2), share=0.5)
@example(scores=torch.zeros(2, 3), share=1.0)
def test_mass_keeps_the_fewest_members_that_hold_the_share(scores, share):
    expected = set()
    for row in range(scores.shape[0]):
        candidates = [(abs(s), place) for s, place in entries(scores) if place[0] == row]
        wanted = share * sum(s for s, _ in candidates)
        fewest = next(
            n for n in range(len(candidates) + 1) if sum(sorted((s for s, _ in candidates), reverse=True)[:n]) >= wanted
        )
        expected |= best(candidates, fewest)
    assert torch.equal(select(scores.abs(), "row", Mass(share)).mask, mask_of(expected, scores.shape))


def test_mass_refuses_negative_scores():
    with pytest.raises(BudgetError, match="at least 0"):
        select(torch.tensor([1.0, -1.0]), "layer", Mass(0.5))


@quick
@given(scores=tensors(), value=st.integers(-4, 4))
def test_a_threshold_keeps_what_reaches_it(scores, value):
    for pattern in ("layer", "row", "topk"):
        assert torch.equal(select(scores, pattern, Threshold(value)).mask, scores >= value)


def test_a_tile_is_scored_by_its_mean_unless_told():
    scores = torch.tensor([[9.0, 0, 4, 4]])
    assert select(scores, Block(1, 2), Count(1)).mask.tolist() == [[True, True, False, False]]
    assert select(torch.tensor([[7.0, 0, 4, 4]]), Block(1, 2), Count(1)).mask.tolist() == [[False, False, True, True]]
    assert select(torch.tensor([[7.0, 0, 4, 4]]), Block(1, 2, reduce="max"), Count(1)).mask.tolist() == [
        [True, True, False, False]
    ]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("pattern", ["layer", "row", "2:4", "block:2x2", "neuron", "topk", "abs-topk"])
def test_scores_that_are_not_finite_are_refused_by_name(pattern, bad):
    scores = torch.ones(4, 4)
    scores[2, 1] = bad
    with pytest.raises(ScoreError, match=r"fc1 hold 1 values that are NaN or infinite, of 16"):
        select(scores, pattern, Density(0.5), "fc1")


def test_infinities_that_cancel_are_found():
    with pytest.raises(ScoreError, match="2 values"):
        select(torch.tensor([math.inf, -math.inf, 1.0]), "layer", Count(1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_finite_scores_whose_sum_overflows_are_ranked(dtype):
    top = torch.finfo(dtype).max
    assert select(torch.tensor([top / 2, top, top], dtype=dtype), "layer", Count(2)).mask.tolist() == [False, True, True]


@pytest.mark.parametrize("wrong", [[1.0, 2.0], torch.tensor([True]), torch.tensor([1j])])
def test_only_real_tensors_are_scores(wrong):
    with pytest.raises((ScoreError, AttributeError), match=r"must be|shape"):
        select(wrong, "layer", Count(1))


def test_scores_that_need_gradients_are_ranked_and_left_alone():
    scores = torch.rand(3, 40, requires_grad=True)
    mask = select(scores, "row", Density(0.5)).mask
    assert not mask.requires_grad
    assert torch.equal(mask, select(scores.detach(), "row", Density(0.5)).mask)


@pytest.mark.parametrize(
    ("pattern", "shape", "says"),
    [
        ("2:4", (3, 6), "2:4 needs a width that 4 divides along axis -1; fc1 has 6"),
        ("block:2x2", (3, 4), "fc1 has shape"),
        ("block:2x2", (4,), "fc1 has shape"),
        ("head:3", (4, 4), "needs an axis 0 that 3 divides"),
        ("head:0", (4, 4), "needs an axis 0 that 0 divides"),
        ("column", (4,), "needs an axis 1"),
        (NM(2, 4, axis=2), (4, 4), "needs that axis"),
        ("row", (), "fc1 has no axes"),
        ("topk", (), "fc1 has no axes"),
    ],
)
def test_a_pattern_that_does_not_fit_says_what_it_needs_and_names_the_tensor(pattern, shape, says):
    with pytest.raises(PatternError, match=says):
        select(torch.ones(shape), pattern, Density(0.5), "fc1")


@pytest.mark.parametrize("pattern", ["layer", "global", "2:4", "block:2x2", "neuron", "column", "head:2"])
@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_an_empty_tensor_has_an_empty_selection(pattern, shape):
    selection = select(torch.ones(shape), pattern, Density(0.5))
    assert selection.mask.shape == shape and selection.kept == 0 and selection.density == 1


def test_a_scalar_is_a_layer_of_one_entry():
    assert select(torch.tensor(3.0), "layer", Density(0.5)).mask.item() is True


def test_more_than_there_are_cannot_be_kept():
    with pytest.raises(BudgetError, match="5 cannot be kept of units that have 4"):
        select(torch.ones(3, 4), "row", Count(5))


@pytest.mark.parametrize("wrong", [-0.1, 1.5, math.nan, "half", None])
def test_a_density_outside_its_range_is_refused(wrong):
    with pytest.raises(BudgetError, match=r"density must lie in \[0, 1\]"):
        Density(wrong)


@pytest.mark.parametrize("wrong", [lambda: Count(-1), lambda: Count(1.5), lambda: Mass(1.1), lambda: Threshold(math.inf)])
def test_other_budgets_out_of_range_are_refused(wrong):
    with pytest.raises(BudgetError):
        wrong()


def test_a_pattern_without_a_density_needs_a_budget():
    with pytest.raises(BudgetError, match='pattern "row" needs a budget'):
        select(torch.ones(2, 2), "row")


@pytest.mark.parametrize("budget", [Density(0.25), Count(1), Mass(0.5)])
def test_a_budget_that_contradicts_n_of_m_is_refused(budget):
    with pytest.raises(BudgetError, match=r"2:4 keeps 0\.5 of the weights by itself"):
        select(torch.ones(2, 4), "2:4", budget)


def test_a_budget_of_everything_is_the_dense_twin_of_n_of_m():
    assert select(torch.ones(2, 4), "2:4", Density(1)).kept == 8


@given(members=st.integers(1, 10_000), count=st.data())
@settings(deadline=None, max_examples=200)
def test_a_share_that_is_a_count_means_that_count(members, count):
    k = count.draw(st.integers(0, members))
    assert Density(k / members).of(members) == k


def test_a_density_is_rounded_up_and_float_dust_is_not():
    assert [Density(d).of(n) for d, n in [(0.1, 30), (0.3, 10), (0.5, 5), (0.001, 10), (0.0, 10), (0.7, 10)]] == [
        3,
        3,
        3,
        1,
        0,
        7,
    ]


@quick
@given(data=st.data(), density=st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 0.77, 1.0]))
def test_global_scope_over_several_tensors_meets_the_total_exactly_and_keeps_the_best_of_all(data, density):
    shapes = data.draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=4))
    scores = {f"t{i}": data.draw(tensors(sides=shape)).float() for i, shape in enumerate(shapes)}
    pooled = [(s, (name, place)) for name, t in scores.items() for s, place in entries(t)]
    total = math.ceil(round(density * len(pooled), 5))
    expected = best(pooled, total)
    selections = select_all(scores, "global", density)
    assert selections.kept == total
    for name, tensor in scores.items():
        assert torch.equal(selections[name].mask, mask_of({p for n, p in expected if n == name}, tensor.shape))


def test_the_same_scores_give_the_same_mask_in_any_layout():
    scores = noise((24, 32), 3).mul(5).round()
    for pattern in ("layer", "row", "2:4", "block:4x4", "neuron"):
        expected = select(scores, pattern, Density(0.5)).mask
        assert torch.equal(select(scores.t().contiguous().t(), pattern, Density(0.5)).mask, expected)
        assert torch.equal(select(scores.double(), pattern, Density(0.5)).mask, expected)
