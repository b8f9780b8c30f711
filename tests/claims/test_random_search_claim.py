import pytest

from fewer.claims import load
from fewer.claims.claim import reproduce
from fewer.compare.result import ArmFacts, Results, Row
from fewer.weights.tasks.digits_convergence import DigitsConvergence

CLAIM = load("random-search")
SMALL = CLAIM.setting("small")
WOBBLE = (-0.003, 0.002, 0.001, -0.002, 0.003, -0.001)


def made_up(gain, kept=0.96, faster=0.0):
    """The claim's arms over six seeds: the winner is ahead of the control by `gain` in accuracy and `faster` in epochs."""
    rows = []
    facts = {"nominal_density": 0.01, "initial_score": 2.3, "search_share": 2.0, "search_share_seconds": 1.0}
    for seed, wobble in enumerate(WOBBLE):
        rows.append(Row("dense", 1.0, seed, {"accuracy": 0.97 + wobble, "epochs_to_goal": 2.0}, {}))
        for budget in SMALL.budgets:
            for arm, ahead in (("control", 0.0), ("winner", gain + wobble), ("loser", -wobble)):
                accuracy = 0.97 * kept + 0.001 * seed + ahead
                epochs = 10.0 + seed + 100 * (wobble if arm != "control" else 0.0) - (faster if arm == "winner" else 0.0)
                rows.append(Row(arm, budget, seed, {"accuracy": accuracy, "epochs_to_goal": epochs}, {}, {"facts": facts}))
    arms = {name: ArmFacts(arm.kind, name) for name, arm in CLAIM.arms.items()}
    quality = {"accuracy": "higher", "epochs_to_goal": "lower"}
    return Results("r", "r", "", quality, arms, list(SMALL.budgets), list(range(6)), rows)


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        (made_up(0.0), "confirmed"),
        (made_up(0.05), "refuted"),
        (made_up(0.0, faster=3.0), "refuted"),
        (made_up(-0.01), "inconclusive"),
        (made_up(0.0, kept=0.8), "refuted"),
    ],
)
def test_the_rule_confirms_refutes_and_stays_open(results, verdict):
    assert CLAIM.rule(SMALL).judge(results).verdict == verdict


def test_what_the_search_found_and_cost_is_said_beside_the_rule():
    text = "\n".join(CLAIM.beside(made_up(0.0)))
    assert text.count("training runs in multiply-adds") == 5
    assert "node sparsity 0.9 is weight sparsity 0.99" in text


def test_smoke_runs_through(tmp_path):
    found = reproduce(CLAIM, "smoke", seeds=1, folder=tmp_path).to_dict()
    assert {row["arm"] for row in found["rows"]} == {"dense", "control", "winner", "loser"}
    assert found["verdict"] == "inconclusive"  # one seed shows nothing


def test_the_paper_scale_is_put_together():
    comparison = CLAIM.comparison("paper")
    assert isinstance(comparison.task, DigitsConvergence) and comparison.task.width == 1024
    assert len(list(comparison.cells())) == 20 + 20 * 5 * 3
