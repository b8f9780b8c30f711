import dataclasses

import pytest

from fewer.claims import load
from fewer.claims.claim import reproduce
from fewer.compare.result import ArmFacts, Results, Row
from fewer.compare.rules import Judgement
from fewer.measure.statistics import Interval
from fewer.weights.methods import DSnoT, Magnitude, Wanda
from fewer.weights.tasks.pretrained_digits import PretrainedDigits

CLAIM = load("dsnot")
CONFIRMED = Judgement("confirmed", Interval(-1, -2, -0.5, 3), "the losses fall")


def results(after=0.1, density=0.4) -> Results:
    """One layer an arm; the refined ones have a mean error of 0.3 before."""
    report = {"mean_error_before": 0.3, "mean_error": after}
    rows = [
        Row(
            arm, budget, seed, {"nll": 1.0}, {}, {"layers": [{"density": density if "dsnot" in arm else 0.4, "report": report}]}
        )
        for arm in ("wanda", "magnitude", "dsnot", "dsnot:magnitude")
        for budget in (0.4, 0.3)
        for seed in range(3)
    ]
    arms = {name: ArmFacts("method", name) for name in ("wanda", "magnitude", "dsnot", "dsnot:magnitude")}
    return Results("dsnot", "", "", {"nll": "lower"}, arms, [0.4, 0.3], [0, 1, 2], rows)


def test_a_mean_error_that_falls_and_counts_that_stay_leave_the_rules_word():
    judged = CLAIM.judge(results(), CONFIRMED)
    assert judged.verdict == "confirmed"
    assert "dsnot at density 0.3: mean output error 0.3 -> 0.1, counts of the layers as they were" in judged.text


@pytest.mark.parametrize("broken", [{"after": 0.3}, {"density": 0.41}])
def test_a_mean_error_that_does_not_fall_or_another_count_refutes(broken):
    assert CLAIM.judge(results(**broken), CONFIRMED).verdict == "refuted"


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_every_scale_has_dense_the_bases_refined_ones_and_swaps_by_chance(scale):
    comparison = CLAIM.comparison(scale)
    assert {"dense", "random", "magnitude", "wanda", "dsnot", "dsnot:magnitude"} <= set(comparison.arms)
    assert {arm.removeprefix("random:") for arm in comparison.arms if arm.startswith("random:")} == {
        name for name, arm in comparison.arms.items() if isinstance(arm, DSnoT) and arm.kind == "method"
    }
    assert len(list(comparison.cells())) > len(comparison.arms)
    assert "0.4, 0.3" in str(CLAIM.rule(CLAIM.setting(scale)))


def test_the_paper_scale_has_the_papers_model_and_parameters():
    comparison = CLAIM.comparison("paper")
    task = comparison.task
    assert (task.model, task.sequences, task.length, task.mode) == ("huggyllama/llama-7b", 128, 2048, "block")
    assert comparison.arms["dsnot"] == DSnoT(
        base=Wanda(), cycles=50, delta=0.1 / 2048, power=1, same_sign=False, exclude=("*.mlp.*",), squared_error=False
    )


def test_the_digits_runs_use_the_cards_parameters_on_a_fresh_network_a_seed():
    comparison = CLAIM.comparison("small")
    assert comparison.task == PretrainedDigits() and list(comparison.budgets) == [0.5, 0.4, 0.3, 0.2]
    assert comparison.arms["dsnot:magnitude"] == DSnoT(base=Magnitude(), cycles=50, delta=0.1, power=1, same_sign=False)
    assert len(comparison.seeds) >= 5


def test_it_runs_and_judges(tmp_path):
    small = dataclasses.replace(CLAIM.setting("smoke"), task=lambda: PretrainedDigits(epochs=10), budgets=(0.4, 0.3))
    done = reproduce(dataclasses.replace(CLAIM, settings={"smoke": small}), "smoke", folder=tmp_path).to_dict()
    assert done["verdict"] in ("confirmed", "refuted", "inconclusive") and len(done["why"]) == 8
    shown = {row["arm"] for row in done["rows"] if row["budget"] in (0.4, 1.0)}
    assert shown == set(CLAIM.arms)
