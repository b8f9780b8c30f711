import dataclasses

import pytest

from fewer.activations.tasks.echo import EchoInputs
from fewer.claims import load
from fewer.claims.claim import reproduce
from fewer.claims.r_sparse import ARMS, BUDGETS, MIXTURES, SMALL
from fewer.compare.beside import beside
from fewer.compare.result import ArmFacts, Results, Row

CLAIM = load("r-sparse")


def results(**changed):
    """Three seeds of made-up losses in which the claim holds; `changed` names arms with other (plain, echo)."""
    losses = dict.fromkeys(ARMS, (2.2, 0.2)) | {"random": (4.0, 4.0), "low rank": (3.0, 1.0), "abs x": (2.25, 0.25)}
    losses |= {"r-sparse": (2.3, 0.1)} | changed
    rows = [
        Row(arm, budget, seed, {"plain": p + 0.01 * seed + noise, "echo": e + 0.01 * seed + noise}, {})
        for arm, (p, e) in losses.items()
        for budget in BUDGETS
        for seed, noise in ((0, 0.0), (1, 0.001 * (len(arm) % 3)), (2, 0.0))
    ]
    facts = {arm: ArmFacts(method.kind, arm) for arm, method in ARMS.items()}
    return Results("r-sparse", "", "", {"plain": "lower", "echo": "lower"}, facts, list(BUDGETS), [0, 1, 2], rows)


def judged(**changed):
    found = results(**changed)
    return beside(CLAIM.rule(CLAIM.setting("small")).judge(found), CLAIM.beside(found))


def test_it_is_confirmed_where_inputs_win_and_a_low_rank_share_helps_on_echo():
    assert judged().verdict == "confirmed"
    assert "r-sparse - abs x * scale at 0.3" in judged().text


@pytest.mark.parametrize(
    "changed",
    [
        {"abs x": (2.1, 0.2)},
        {"random": (2.1, 0.1)},
        {"low rank": (2.0, 0.1)},
        {"r-sparse": (2.4, 0.4), "rho 0.9": (2.4, 0.4), "rho 0.8": (2.4, 0.4)},
    ],
)
def test_it_is_refuted_where_a_part_fails(changed):
    assert judged(**changed).verdict == "refuted"


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_every_scale_has_dense_random_and_every_baseline(scale):
    comparison = CLAIM.comparison(scale)
    assert {"dense", "random", "abs x", "abs x * scale", "low rank", *MIXTURES} <= set(comparison.arms)
    assert comparison.arms["random"].kind == "random"
    assert list(comparison.budgets) == ([0.5, 0.3] if scale == "smoke" else [0.5, 0.4, 0.3])
    said = str(CLAIM.rule(CLAIM.setting(scale)))
    assert {"smoke": "at density 0.3", "small": "at least 1 of", "paper": "nll of r-sparse"}[scale] in said


@pytest.mark.data
def test_it_runs_and_judges_on_data_that_it_was_not_calibrated_on(tmp_path):
    short = dataclasses.replace(SMALL, steps=30)
    setting = dataclasses.replace(CLAIM.setting("smoke"), task=lambda: EchoInputs(recipe=short, tested=8), budgets=(0.5,))
    claim = dataclasses.replace(CLAIM, settings={**CLAIM.settings, "smoke": setting})
    done = reproduce(claim, "smoke", folder=tmp_path).to_dict()
    assert done["verdict"] in ("confirmed", "refuted", "inconclusive") and "train part" in done["data"]
    rows = [row for row in done["rows"] if row["budget"] == 0.5 and row["arm"] != "dense"]
    assert {row["arm"] for row in rows} == set(CLAIM.arms) - {"dense"}
    assert all(row["cost"]["touched"] < 0.62 for row in rows)
