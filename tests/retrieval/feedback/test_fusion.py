"""Lists made one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.errors import RetrievalError
from fewer.retrieval.feedback.fusion import NORMALISATIONS, Interpolation, reciprocal_ranks
from fewer.retrieval.feedback.ranking import Ranking

rows = st.dictionaries(st.integers(0, 14), st.integers(-40, 40).map(lambda x: x / 4), max_size=8)
full = st.dictionaries(st.integers(0, 14), st.integers(-40, 40).map(lambda x: x / 4), min_size=8, max_size=8)
pairs = st.lists(st.tuples(rows, rows), min_size=1, max_size=4)
full_pairs = st.lists(st.tuples(full, full), min_size=1, max_size=4)


def ranking(lists: list[dict[int, float]], depth: int = 8) -> Ranking:
    documents, scores = np.full((len(lists), depth), -1), np.zeros((len(lists), depth))
    for number, row in enumerate(lists):
        documents[number, : len(row)], scores[number, : len(row)] = [*row], [*row.values()]
    return Ranking.of(documents, scores, depth)


def as_dicts(found: Ranking) -> list[dict[int, float]]:
    return [
        {d: s for d, s in zip(ds, ss, strict=True) if d >= 0}
        for ds, ss in zip(found.documents.tolist(), found.scores.tolist(), strict=True)
    ]


def scaled(row: dict[int, float], how: str, depth: int = 8) -> dict[int, float]:
    """Normalised scores, and under -1 that of a document that is not in the list."""
    found = [*row.values()]
    values = found if len(found) == depth else [*found, 0.0]
    low, high = min(values), max(values)
    if how == "z":
        flat, shift, stretch = len(set(found)) < 2, np.mean(found or [0]), np.std(found or [0])
    else:
        flat, shift, stretch = low == high, low if how == "min-max" else (low + high) / 2, high - low
    if how == "none":
        flat, shift, stretch = False, 0.0, 1.0
    return {d: 0.0 if flat else (s - shift) / stretch for d, s in {**row, -1: low}.items()}


@settings(deadline=None)
@given(pairs, st.sampled_from([*NORMALISATIONS]), st.sampled_from(["minimum", "zero"]), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_fused_scores_are_those_of_dictionaries(
    lists: list[tuple[dict, dict]], normalise: str, missing: str, weight: float
) -> None:
    first, second = zip(*lists, strict=True)
    found = as_dicts(Interpolation(weight, normalise, missing).fuse(ranking(first), ranking(second), 30))
    for a, b, fused in zip(first, second, found, strict=True):
        na, nb = scaled(a, normalise), scaled(b, normalise)
        low_a, low_b = (n[-1] if missing == "minimum" else 0.0 for n in (na, nb))
        expected = {d: weight * na.get(d, low_a) + (1 - weight) * nb.get(d, low_b) for d in {*a, *b}}
        assert fused == pytest.approx(expected, abs=1e-12)
        assert [*fused.values()] == sorted(fused.values(), reverse=True)


@settings(deadline=None)
@given(full_pairs, st.sampled_from(["min-max", "centred", "z"]), st.integers(1, 50), st.integers(-20, 20))
def test_shifting_and_stretching_a_list_changes_nothing(
    lists: list[tuple[dict, dict]], normalise: str, stretch: int, shift: int
) -> None:
    first, second = zip(*lists, strict=True)
    moved = [{d: s * stretch + shift for d, s in row.items()} for row in first]
    mix = Interpolation(0.5, normalise)
    one, other = (as_dicts(mix.fuse(ranking(list(a)), ranking(list(second)), 30)) for a in (first, moved))
    for before, after in zip(one, other, strict=True):
        assert after == pytest.approx(before, abs=1e-9)


@settings(deadline=None)
@given(full_pairs)
def test_weights_0_and_1_keep_the_order_of_one_list(lists: list[tuple[dict, dict]]) -> None:
    first, second = (ranking(list(side)) for side in zip(*lists, strict=True))
    for weight, side in ((1.0, first), (0.0, second)):
        fused = as_dicts(Interpolation(weight, missing="minimum").fuse(first, second, 30))
        for both, alone in zip(fused, as_dicts(side), strict=True):
            if len(set(alone.values())) > 1:
                in_order = [d for d in both if d in alone and alone[d] > min(alone.values())]
                assert in_order == [d for d in alone if alone[d] > min(alone.values())]


@settings(deadline=None)
@given(pairs)
def test_the_two_lists_may_change_places(lists: list[tuple[dict, dict]]) -> None:
    first, second = (ranking(list(side)) for side in zip(*lists, strict=True))
    one = as_dicts(Interpolation(0.3).fuse(first, second, 30))
    other = as_dicts(Interpolation(0.7).fuse(second, first, 30))
    for a, b in zip(one, other, strict=True):
        assert a == pytest.approx(b, abs=1e-12)


@settings(deadline=None)
@given(pairs)
def test_few_documents_of_many_fuse_as_many_of_few(lists: list[tuple[dict, dict]]) -> None:
    near, far = (
        Interpolation(0.3).fuse(
            *(ranking([{d * step: s for d, s in row.items()} for row in side]) for side in zip(*lists, strict=True)), 30
        )
        for step in (1, 1000)
    )
    assert as_dicts(far) == [{d * 1000: s for d, s in row.items()} for row in as_dicts(near)]


def test_min_max_sums_equal_those_of_ranx() -> None:
    ranx = pytest.importorskip("ranx")
    generator = np.random.default_rng(0)
    every = [
        [dict(zip(generator.permutation(50)[:20].tolist(), generator.normal(size=20).tolist(), strict=True)) for _ in range(6)]
        for _ in range(2)
    ]
    first, second = (ranking(side, 20) for side in every)
    ours = Interpolation(0.3, "min-max", "minimum").fuse(first, second, 40)
    runs = [ranx.Run({f"q{i}": {f"d{d}": s for d, s in row.items()} for i, row in enumerate(side)}) for side in every]
    theirs = ranx.fuse(runs=runs, norm="min-max", method="wsum", params={"weights": (0.3, 0.7)})
    for i, row in enumerate(as_dicts(ours)):
        assert {f"d{d}": s for d, s in row.items()} == pytest.approx(theirs.run[f"q{i}"], abs=1e-6)


def test_pyserinis_rule_is_centred_scores_with_minima() -> None:
    dense, sparse = ranking([{0: 4.0, 1: 2.0}], 2), ranking([{1: 30.0, 2: 10.0}], 2)
    fused = as_dicts(Interpolation(0.5, "centred", "minimum").fuse(sparse, dense, 3))[0]
    assert fused == {0: 0.0, 1: 0.0, 2: -0.5}


def test_missing_documents_can_be_scored_truly() -> None:
    first, second = ranking([{0: 2.0, 1: 1.0}], 2), ranking([{0: 3.0, 2: 1.0}], 2)
    truth = (lambda documents: np.where(documents == 2, 1.5, 9.0), lambda documents: np.where(documents == 1, 2.0, 9.0))
    fused = as_dicts(Interpolation(0.5, "min-max", "true").fuse(first, second, 3, truth))[0]
    assert fused == {0: 1.0, 1: 0.25, 2: 0.25}
    with pytest.raises(RetrievalError, match="truth"):
        Interpolation(missing="true").fuse(first, second, 3)


@given(st.lists(st.lists(st.permutations(range(5)), min_size=2, max_size=2), min_size=1, max_size=3), st.integers(1, 3))
def test_reciprocal_ranks_sum_over_lists(orders: list, lists: int) -> None:
    given_lists = [
        Ranking(np.array([row[i % 2] for row in orders]), np.tile(np.arange(5.0, 0, -1), (len(orders), 1)))
        for i in range(lists)
    ]
    for number, found in enumerate(as_dicts(reciprocal_ranks(given_lists, 5))):
        expected = {d: sum(1 / (61 + one.documents[number].tolist().index(d)) for one in given_lists) for d in range(5)}
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [{"weight": 1.5}, {"weight": float("nan")}, {"normalise": "max"}, {"missing": "guess"}])
def test_interpolations_that_make_no_sense_are_errors(wrong: dict) -> None:
    with pytest.raises(RetrievalError, match=r"given|allowed"):
        Interpolation(**wrong)


def test_scores_that_are_not_finite_are_errors() -> None:
    with pytest.raises(RetrievalError, match="query 1 is not finite"):
        Ranking.of(np.zeros((2, 1), np.int64), np.array([[1.0], [np.nan]]), 1)


def test_what_one_list_alone_found_at_all_is_not_lost() -> None:
    fused = as_dicts(Interpolation(0.5).fuse(ranking([{4: 7.0}], 3), ranking([{0: 3.0, 1: 2.0, 2: 1.0}], 3), 4))[0]
    assert fused == {0: 0.5, 4: 0.5, 1: 0.25, 2: 0.0}


def test_equal_scores_are_ranked_by_number() -> None:
    found = Ranking.of(np.array([[7, -1, 3, 5]]), np.array([[1.0, 9.0, 1.0, 2.0]]), 4)
    assert found.documents.tolist() == [[5, 3, 7, -1]]
    assert found.scores.tolist() == [[2.0, 1.0, 1.0, 0.0]]
