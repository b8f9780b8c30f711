import numpy as np
import pytest

from fewer.claims import load
from fewer.claims.claim import Setting, reproduce
from fewer.claims.prf_interpolation import PUBLISHED, TWINS
from fewer.compare.result import ArmFacts, Results, Row
from fewer.core import Density
from fewer.errors import MethodError
from fewer.retrieval.feedback.arms import Fusion, InterpolatedFeedback, Search
from fewer.retrieval.feedback.task import MEASURES, WEIGHTS, FeedbackTask
from fewer.weights.methods import Magnitude

CLAIM = load("prf-interpolation")
TASK = FeedbackTask(collections=("cranfield", "cisi"))
SETTING = Setting(lambda: TASK, budgets=tuple(PUBLISHED.values()))
LEVELS = {"dense": 0.3, "sparse": 0.25, "fusion": 0.32, "none": 0.34, "before": 0.36, "after": 0.36, "both": 0.38}
RANDOM, PERMUTED = 0.2, 0.15


def made_up(**moved: float) -> Results:
    """Every arm at its level over 40 queries with some noise."""
    rows = []
    for number, (name, arm) in enumerate(CLAIM.arms.items()):
        place = name.split("@")[0].rpartition("-")[2]
        level = PERMUTED if name.startswith("permuted") else RANDOM if name in TWINS else LEVELS[place]
        level = moved.get(place if name not in TWINS else "random", level)
        for budget in (1.0,) if arm.kind == "dense" else SETTING.budgets:
            values = np.linspace(-0.1, 0.1, 40) + level + 0.001 * np.random.default_rng(number).normal(size=40)
            items = {f"{m}:{c}": values.tolist() for m in MEASURES for c in TASK.collections}
            quality = {name: float(values.mean()) for name in TASK.quality}
            rows.append(Row(name, budget, 0, quality, {}, {"items": items, "facts": {}}))
    arms = {name: ArmFacts(arm.kind, name) for name, arm in CLAIM.arms.items()}
    return Results("r", "r", "", dict(TASK.quality), arms, list(SETTING.budgets), [0], rows)


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        (made_up(), "confirmed"),
        (made_up(both=0.33), "refuted"),
        (made_up(fusion=0.39), "refuted"),
        (made_up(random=0.35), "refuted"),
        (made_up(before=0.5), "inconclusive"),
    ],
    ids=["as the paper says", "below feedback alone", "below fusion", "random as good", "always behind"],
)
def test_the_rule_confirms_refutes_and_stays_open(results: Results, verdict: str) -> None:
    judged = CLAIM.rule(SETTING).judge(results)
    assert judged.verdict == verdict
    assert CLAIM.judge(results, judged).verdict == verdict


def test_parts_are_counted_and_all_places_shown_beside_them() -> None:
    text = CLAIM.judge(made_up(), CLAIM.rule(SETTING).judge(made_up())).text
    assert text.endswith("25 of 25 parts confirmed")
    assert "rocchio-before@0.5 at density 0.05: 0.360 / 0.360 / 0.360" in CLAIM.beside(made_up())


def test_smoke_runs_through(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FEWER_DATA", "")
    small = Setting(lambda: FeedbackTask(collections=("python-docstrings",), width=16, limit=12), budgets=(0.05,))
    monkeypatch.setitem(CLAIM.settings, "smoke", small)
    found = reproduce(CLAIM, "smoke", seeds=1, folder=tmp_path).to_dict()
    assert {"dense", "random", "rocchio-both", "fusion", "sparse"} <= {row["arm"] for row in found["rows"]}
    assert "python-docstrings (7," in found["data"] and "embedded" in found["data"]
    assert found["effect"]["vs_random"]["low"] <= found["effect"]["vs_random"]["mean"]
    again = reproduce(CLAIM, "smoke", seeds=1, folder=tmp_path).to_dict()
    assert again["rows"] == found["rows"]


def test_what_depends_on_a_seed_is_said() -> None:
    chosen, fixed, none = InterpolatedFeedback(), InterpolatedFeedback(weight=0.5), InterpolatedFeedback(interpolate="none")
    depend = [TASK.depends_on_seed(m) for m in (chosen, fixed, none, none.random_twin(), Fusion(), Fusion(0.5), Search())]
    assert depend == [True, False, False, True, True, False, False]


def test_other_methods_are_turned_away() -> None:
    with pytest.raises(MethodError, match="compares searches"):
        TASK.measure(Magnitude(), Density(0.5), 0)


def test_weights_are_chosen_without_the_queries_they_are_used_on(monkeypatch) -> None:
    """Each half is best at a weight of its own: the other half's must be used on it."""
    import fewer.retrieval.feedback.task as task

    halves = np.random.default_rng([3, 7]).permutation(20) % 2

    class Queries:
        queries = range(20)

    def values(sides, method, depth, weight, seed):
        best = np.where(halves == 0, 0.2, 0.7)
        return {m: 1 - np.abs(best - weight) for m in MEASURES}, 0.0

    monkeypatch.setattr(task, "_values", values)
    judged, _, chosen = TASK._judged(Queries(), Fusion(), 1, 3)
    assert chosen == [0.7, 0.2]
    assert judged["map"] == pytest.approx(np.full(20, 0.5))
    assert set(chosen) <= set(WEIGHTS)


def test_the_paper_scale_is_put_together(monkeypatch) -> None:
    monkeypatch.setenv("FEWER_DATA", "")
    comparison = CLAIM.comparison("paper")
    assert (comparison.task.dense, comparison.task.sparse) == ("minilm", "splade-tiny")
    assert {cell.arm for cell in comparison.cells()} == set(CLAIM.arms)
