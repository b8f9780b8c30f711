import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from fewer import claims
from fewer.claims.claim import Claim, Setting, reproduce
from fewer.compare.rules import Judgement, lower
from fewer.compare.task import Measurement, Task
from fewer.errors import MethodError
from fewer.measure.statistics import Interval
from fewer.weights.methods import Dense, Magnitude, Random, Wanda


@dataclass(frozen=True)
class MadeUp(Task):
    """Losses by arm and density, a little apart by seed; random arms may diverge."""

    diverges: bool = False

    @property
    def quality(self) -> Mapping[str, Any]:
        return {"loss": "lower", "accuracy": "higher"}

    @property
    def data(self) -> str:
        return "made up"

    def measure(self, method, budget, seed):
        level = {"Dense": 1.0, "Wanda": 2.0, "Magnitude": 2.5}.get(type(method).__name__, 5.0) + 0.01 * seed * budget.share
        loss = math.inf if self.diverges and method.kind == "random" else level / budget.share
        return Measurement({"loss": loss, "accuracy": 0.5}, {"bytes": budget.share}, {"layers": []})


def claim_of(**changes) -> Claim:
    settings = {
        "system": "made-up",
        "says": "Wanda is better than chance.",
        "paper": "7.26 perplexity at 50% (arXiv 2306.11695, table 2)",
        "arms": {"dense": Dense(), "random": Random(), "wanda": Wanda()},
        "settings": {
            "smoke": Setting(MadeUp, [0.5, 0.3]),
            "small": Setting(lambda: MadeUp(diverges=True), [0.5], seeds=4),
            "paper": Setting(
                MadeUp, [0.5], arms={"dense": Dense(), "magnitude": Magnitude(), "random": Random(), "wanda": Wanda()}
            ),
        },
        "rule": lambda setting: lower("loss", "wanda", than="random", at=list(setting.budgets)),
        "method": "wanda",
    }
    return Claim(**{**settings, **changes})


KEYS = [
    "slug",
    "scale",
    "claim",
    "rule",
    "verdict",
    "why",
    "data",
    "rows",
    "effect",
    "effect_measure",
    "paper",
    "seconds",
    "environment",
]


def test_a_reproduction_has_exactly_the_documented_keys():
    said = reproduce(claim_of(), "smoke").to_dict()
    assert list(said) == KEYS
    assert (said["slug"], said["scale"], said["claim"]) == ("made-up", "smoke", "Wanda is better than chance.")
    assert said["rule"] == "loss of wanda is below that of random at density 0.5, 0.3"
    assert (said["verdict"], said["data"], said["effect_measure"]) == ("confirmed", "made up", "loss")
    assert len(said["why"]) == 2 and all("confirmed" in line for line in said["why"])
    assert said["paper"].startswith("7.26") and said["seconds"] > 0 and said["environment"]["versions"]["fewer"]


def test_rows_have_their_keys_and_every_arm_budget_and_seed():
    rows = reproduce(claim_of(), "smoke").to_dict()["rows"]
    assert all(list(row) == ["arm", "budget", "seed", "quality", "cost"] for row in rows)
    cells = {(row["arm"], row["budget"], row["seed"]) for row in rows}
    assert cells == {("dense", 1.0, s) for s in range(3)} | {
        (a, b, s) for a in ("random", "wanda") for b in (0.5, 0.3) for s in range(3)
    }
    assert all(set(row["quality"]) == {"loss", "accuracy"} and set(row["cost"]) == {"bytes"} for row in rows)


def test_effects_are_paired_differences_of_the_first_quality_at_the_mildest_budget():
    effect = reproduce(claim_of(), "smoke").to_dict()["effect"]
    assert list(effect) == ["vs_dense", "vs_random"]
    assert all(list(e) == ["mean", "low", "high"] for e in effect.values())
    assert effect["vs_dense"]["mean"] == pytest.approx((2 + 0.005) / 0.5 - 1.01)
    assert effect["vs_random"]["mean"] == pytest.approx(-6.0)


def test_infinite_numbers_become_null_and_the_rest_is_json():
    said = reproduce(claim_of(), "small").to_dict()
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert {row["quality"]["loss"] for row in said["rows"] if row["arm"] == "random"} == {None}
    assert said["effect"]["vs_random"] == {"mean": None, "low": None, "high": None}
    assert said["verdict"] == "inconclusive" and len(said["rows"]) == 12


def test_a_baseline_that_a_claim_does_not_have_is_left_out_of_the_effect():
    claim = claim_of(arms={"dense": Dense(), "wanda": Wanda(), "magnitude": Magnitude()})
    said = reproduce(claim, "smoke").to_dict()
    assert list(said["effect"]) == ["vs_dense"] and said["verdict"] == "inconclusive" and "not measured" in said["why"][0]


def test_a_scale_may_have_arms_of_its_own():
    said = reproduce(claim_of(), "paper").to_dict()
    assert {row["arm"] for row in said["rows"]} == {"dense", "magnitude", "random", "wanda"}


def test_a_judgement_of_its_own_has_the_last_word_on_the_rules():
    given = []

    def judge(results, judgement):
        given.append((len(results.rows), judgement.verdict))
        return Judgement("refuted", Interval(1.0, 0.5, 1.5, 3), "because")

    said = reproduce(claim_of(judge=judge), "smoke").to_dict()
    assert (said["verdict"], said["why"]) == ("refuted", ["because"]) and given == [(15, "confirmed")]


def test_findings_stand_beside_the_rule_and_the_judgement_and_move_neither():
    plain = reproduce(claim_of(), "smoke").to_dict()
    said = reproduce(claim_of(beside=lambda results: [f"{len(results.rows)} rows"]), "smoke").to_dict()
    assert said["verdict"] == plain["verdict"] and said["why"] == [*plain["why"], "beside the rule:", "15 rows"]


def test_twins_are_said_of_the_arms():
    arms = reproduce(claim_of(twins={"random": "wanda"}), "smoke").results.arms
    assert {name: facts.twin_of for name, facts in arms.items()} == {"dense": "", "random": "wanda", "wanda": ""}


def test_seeds_are_chosen_by_count_and_start():
    said = reproduce(claim_of(), "smoke", 4, 10).to_dict()
    assert {row["seed"] for row in said["rows"]} == {10, 11, 12, 13}


@pytest.mark.parametrize(("seeds", "first"), [(0, 0), (-1, 0), (3, -1)])
def test_seeds_that_make_no_sense_are_refused(seeds, first):
    with pytest.raises(MethodError, match="at least 1 seed"):
        reproduce(claim_of(), "smoke", seeds, first)


def test_a_run_with_a_folder_resumes(tmp_path):
    first, told = reproduce(claim_of(), "smoke", folder=tmp_path), []
    again = reproduce(claim_of(), "smoke", folder=tmp_path, progress=lambda *cell: told.append(cell))
    assert not told and again.to_dict()["rows"] == first.to_dict()["rows"]


def test_an_unknown_scale_lists_the_known():
    with pytest.raises(MethodError, match='made-up has no scale "huge"; allowed: smoke, small, paper'):
        reproduce(claim_of(), "huge")


def test_the_task_is_made_only_when_a_run_begins():
    def never():
        raise AssertionError("data were loaded")

    claim_of(settings={"smoke": Setting(never, [0.5])}).setting("smoke")


@pytest.mark.parametrize("slug", claims.slugs())
def test_every_claim_says_what_it_needs_to_be_run_and_read(slug):
    claim = claims.load(slug)
    assert claim.system == slug and claim.says.endswith(".") and claim.paper
    assert {"smoke", "small"} <= set(claim.settings)
    for setting in claim.settings.values():
        arms = setting.arms or claim.arms
        assert claim.method in arms and setting.seeds >= 3
        assert claim.at(setting) in setting.budgets and str(claim.rule(setting))


def test_an_unknown_claim_names_the_nearest():
    with pytest.raises(MethodError, match=r'no claim is named "ten-lesson" \(did you mean "ten-lessons"\?\); those that run: '):
        claims.load("ten-lesson")
    with pytest.raises(MethodError, match="no claim is named"):
        claims.load("claim")
