import numpy as np
import pytest

from fewer.claims import load
from fewer.claims.claim import Setting
from fewer.claims.seismic import ARMS, HALF
from fewer.compare.result import ArmFacts, Results, Row
from fewer.core import Density
from fewer.errors import MethodError
from fewer.retrieval.index.seismic_arms import RandomOrder, SeismicSearch
from fewer.retrieval.index.seismic_task import SeismicTask, Swept, documents_at, largest_rise
from fewer.weights.methods import Magnitude

CLAIM = load("seismic")
SETTING = Setting(SeismicTask, (HALF,))
NEEDED = {"dense": 6693, "seismic": 235, "random": 506, "random-order": 900, "random-postings": 800, "chunked": 300}
ACCURACY = {"random-order": 0.6, "dense": 1.0}
TINY = SeismicTask(collection="python-docstrings", documents=400, queries=20, cuts=(3, 10), factors=(0.7, 1.0))


def made_up(largest_rise: float = 0.0, order: float = 0.6, **needed: float) -> Results:
    """Every arm at what it needs, with a little noise by seed."""
    rows = []
    for number, name in enumerate(ARMS):
        for seed in range(3):
            noise = 1 + 0.01 * np.random.default_rng([number, seed]).normal()
            cost = (NEEDED | needed).get(name, 260) * noise
            quality = {
                "accuracy": (order if name == "random-order" else ACCURACY.get(name, 0.95)) * noise,
                "largest_rise": largest_rise * noise if name == "seismic" else 0.0,
            }
            rows.append(Row(name, 1.0 if name == "dense" else HALF, seed, quality, {"documents_at_95": cost}))
    facts = {name: ArmFacts(arm.kind, name) for name, arm in ARMS.items()}
    return Results("seismic", "s", "", {"accuracy": "higher"}, facts, [HALF], [0, 1, 2], rows)


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        (made_up(), "confirmed"),
        (made_up(seismic=480, chunked=600), "refuted"),  # random blocks need as few
        (made_up(seismic=380, chunked=400), "refuted"),  # fixed summaries need fewer
        (made_up(random=320), "inconclusive"),  # between the lines
        (made_up(order=0.92), "refuted"),
        (made_up(order=0.85), "inconclusive"),
        (made_up(chunked=200), "refuted"),
        (made_up(dense=1000), "refuted"),
        (made_up(largest_rise=0.05), "refuted"),
    ],
)
def test_the_rule_tells_made_up_results_apart(results, verdict):
    assert CLAIM.rule(SETTING).judge(results).verdict == verdict


def test_the_cost_is_read_between_settings_that_none_beats():
    swept = [Swept(3, f, a, s, 1.0) for f, a, s in ((1.0, 0.8, 100), (0.9, 0.9, 200), (0.8, 0.85, 250), (0.7, 1.0, 300))]
    assert documents_at(swept, 0.95) == pytest.approx(250)
    assert documents_at(swept, 0.9) == pytest.approx(200)
    assert documents_at(swept[:3], 0.95) is None
    assert largest_rise(swept) == pytest.approx(0.05)  # from .8 to .9; each other step falls


def test_every_arm_is_measured_and_random_order_scores_what_seismic_scores():
    measured = {name: TINY.measure(arm.with_seed(1), Density(HALF), 1) for name, arm in ARMS.items()}
    assert set(measured["dense"].quality) == set(TINY.quality)
    assert measured["dense"].quality["accuracy"] == 1
    for name in set(ARMS) - {"dense"}:
        facts = measured[name].detail["facts"]
        assert 0.2 < facts["postings_kept"] <= 0.51
        assert measured[name].quality["accuracy"] > 0.2
    costs = [[s["scored"] for s in measured[name].detail["swept"]] for name in ("seismic", "random-order")]
    assert costs[0] == costs[1]
    assert measured["seismic"].quality["accuracy"] > measured["random-order"].quality["accuracy"]


def test_all_scales_can_be_made_and_other_methods_are_refused():
    assert {"smoke", "small", "paper"} == set(CLAIM.settings)
    for scale in CLAIM.settings:
        assert "vectors" in CLAIM.comparison(scale).task.data or "SPLADE" in CLAIM.comparison(scale).task.data
    with pytest.raises(MethodError, match="compares searches"):
        TINY.measure(Magnitude(), Density(HALF), 0)
    assert SeismicSearch().with_seed(3).options() == RandomOrder().with_seed(3).options()
