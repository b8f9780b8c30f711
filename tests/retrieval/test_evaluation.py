"""Measures and paired tests."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.errors import RetrievalError
from fewer.retrieval.evaluation import difference, evaluate
from fewer.retrieval.feedback.ranking import Ranking
from fewer.retrieval.measures import Judgements

DOCUMENTS = [f"d{i:02}" for i in range(20)]


def test_values_are_those_worked_out_by_hand() -> None:
    found = evaluate({"q": {"a": 3.0, "b": 2.0, "c": 1.0}}, {"q": {"a": 1, "c": 2, "z": 1}})
    assert found.per_query["MAP"]["q"] == pytest.approx((1 + 2 / 3) / 3)
    assert found.per_query["nDCG@10"]["q"] == pytest.approx((1 + 2 / 2) / (2 + 1 / np.log2(3) + 1 / 2))
    assert found.per_query["recall@100"]["q"] == pytest.approx(2 / 3)


def test_only_judged_queries_count_and_missing_ones_are_0() -> None:
    found = evaluate({"1": {"a": 1.0}, "extra": {"a": 1.0}}, {"1": {"a": 1}, "2": {"b": 1}}, ["MAP"])
    assert found.per_query["MAP"] == {"1": 1.0, "2": 0.0}
    assert found.mean == {"MAP": 0.5}


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(3, 20))
def test_measures_of_arrays_are_trec_evals(seed: int, depth: int) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    generator = np.random.default_rng(seed)
    queries = [f"q{i}" for i in range(5)]
    qrels = {q: {d: int(generator.integers(0, 4)) for d in generator.permutation(DOCUMENTS)[:6]} for q in queries}
    qrels["q0"]["not in the collection"] = 2
    found = Ranking.of_all(generator.permuted(np.tile(np.arange(20.0), (5, 1)), axis=1), depth)
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"map", "ndcg_cut_10", "recall_5"}).evaluate(found.run(queries, DOCUMENTS))
    judged = Judgements(queries, DOCUMENTS, qrels)
    for name, ours in (
        ("map", judged.average_precision(found)),
        ("ndcg_cut_10", judged.ndcg(found, 10)),
        ("recall_5", judged.recall(found, 5)),
    ):
        np.testing.assert_allclose(ours, [theirs[q][name] for q in queries], atol=1e-12)
    through = evaluate(found.run(queries, DOCUMENTS), qrels, ["MAP", "nDCG@10"])
    assert through.per_query["MAP"] == pytest.approx({q: theirs[q]["map"] for q in queries})


def evaluations(ours: list[float], theirs: list[float]):
    from fewer.retrieval.evaluation import Evaluation

    return [Evaluation({"MAP": {str(i): v for i, v in enumerate(values)}}) for values in (ours, theirs)]


def test_a_gain_in_every_query_is_significant_and_none_is_not() -> None:
    generator = np.random.default_rng(0)
    base = generator.uniform(0.2, 0.6, 60).tolist()
    gain = difference(*evaluations([b + generator.uniform(0, 0.1) for b in base], base))
    assert gain.interval.low > 0 and gain.p_value < 0.001
    level = difference(*evaluations([b + generator.normal(0, 0.1) for b in base], base))
    assert level.interval.low < 0 < level.interval.high and level.p_value > 0.05
    same = difference(*evaluations(base, base))
    assert same.interval[:3] == (0, 0, 0) and same.p_value == 1


def test_changing_sides_changes_the_sign_alone() -> None:
    generator = np.random.default_rng(1)
    one, other = evaluations(generator.uniform(size=30).tolist(), generator.uniform(size=30).tolist())
    forth, back = difference(one, other), difference(other, one)
    assert forth.interval.mean == pytest.approx(-back.interval.mean)
    assert forth.p_value == pytest.approx(back.p_value)


def test_wrong_input_says_what_is_wrong() -> None:
    for run, qrels, measures, said in (
        ({"1": {"a": 1.0}}, {}, ["MAP"], "no judgements"),
        ({"1": {"a": 1.0}}, {"2": {"a": 1}}, ["MAP"], "no query of the run has judgements"),
        ({"1": {"a": float("nan")}}, {"1": {"a": 1}}, ["MAP"], "query 1 has a score"),
        ({"1": {"a": 1.0}}, {"1": {"a": 1}}, ["quality"], 'no measure is called "quality"'),
    ):
        with pytest.raises(RetrievalError, match=said):
            evaluate(run, qrels, measures)
    one, other = evaluations([0.1, 0.2], [0.1, 0.2, 0.3])
    with pytest.raises(RetrievalError, match="same queries"):
        difference(one, other)
    with pytest.raises(RetrievalError, match="was not evaluated"):
        difference(one, one, "RR")
