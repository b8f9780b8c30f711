import numpy as np
import pytest

from fewer.claims import load
from fewer.claims.sparsed import ALL, FEW, SELECT, arms, rule
from fewer.compare.result import ArmFacts, Results, Row

CLAIM = load("sparsed")
SETTING = CLAIM.settings["small"]
COPIED = {"dense": 0.95, "random": 0.4, "window": 0.3, "random@no-dense": 0.2, "window@no-dense": 0.1, "sparsed@no-dense": 0.8}
OVERLAP = {"sparsed": 0.6, "other-head": 0.4, "random": 0.2}


def made_up(seeds=5, overlap=OVERLAP, **copied: float) -> Results:
    """Every arm at what it copies, with a little noise by seed; "no_dense" is SparseD without a dense step."""
    copied = COPIED | {"sparsed@no-dense" if name == "no_dense" else name: value for name, value in copied.items()}
    rows = []
    for number, (name, arm) in enumerate(CLAIM.arms.items()):
        for budget in [1.0] if arm.kind == "dense" else SETTING.budgets:
            for seed in range(seeds):
                noise = 0.003 * np.random.default_rng([number, int(budget * 10), seed]).normal()
                quality = {"copied": copied.get(name, 0.945) + noise}
                if name in overlap:
                    quality["overlap"] = overlap[name] + noise
                rows.append(Row(name, budget, seed, quality, {"density": budget, "cost_share": budget}))
    facts = {name: ArmFacts(arm.kind, name) for name, arm in CLAIM.arms.items()}
    return Results("sparsed", "s", "", {"copied": "higher"}, facts, list(SETTING.budgets), list(range(seeds)), rows)


@pytest.mark.parametrize(
    ("results", "verdict", "early"),
    [
        (made_up(), "confirmed", "confirmed"),
        (
            made_up(no_dense=0.945),
            "confirmed",
            "refuted",
        ),  # said, and not held against the claim
        (made_up(sparsed=0.9), "refuted", "confirmed"),
        (made_up(random=0.9), "refuted", "confirmed"),
        (made_up(window=0.94), "refuted", "confirmed"),
        (made_up(overlap={"sparsed": 0.4, "other-head": 0.6, "random": 0.2}), "refuted", "confirmed"),
        (made_up(overlap={"sparsed": 0.6, "other-head": 0.2, "random": 0.25}), "refuted", "confirmed"),
        (made_up(seeds=2), "inconclusive", "inconclusive"),
    ],
)
def test_the_rule_tells_made_up_results_apart(results, verdict, early):
    judged = rule(SETTING).judge(results)
    assert judged.verdict == verdict
    assert f"\nbeside the rule:\nearly steps must stay dense -> {early}\n" in judged.text


def test_the_rule_says_what_stands_beside_it():
    assert "Beside it: early steps must stay dense, that is" in str(rule(SETTING))


def test_baselines_have_the_dense_steps_of_the_method_they_stand_beside():
    for skip, names in ALL.items():
        chosen = [arm for name, arm in arms({skip: names}).items() if name != "dense"]
        assert {arm.skip for arm in chosen} == {skip} and len(chosen) == len(names)
    assert {"dense", "random", "sparsed", "sparsed@no-dense", "random@no-dense"} <= set(arms(FEW))


def test_what_every_arm_copies_and_keeps_is_said_beside_the_rule():
    text = "\n".join(CLAIM.beside(made_up()))
    assert f"random at select {SELECT:g}: copies 0." in text and "sparsed - joint at select 0.1" in text
