from dataclasses import replace

import pytest

from fewer.claims.claim import Setting, reproduce
from fewer.claims.sparse_ift import arms, claim, perceptron, rule
from fewer.compare.result import ArmFacts, Results, Row
from fewer.core import Density
from fewer.weights.tasks.narrow import NarrowTraining
from fewer.weights.training.at_width import AtWidth
from fewer.weights.training.problem import Recipe

BUDGETS = (0.5, 0.25, 0.1)
SETTING = Setting(perceptron, BUDGETS)


def results(ours, static, weights=656.0) -> Results:
    """Cross-entropies at three densities less 0.3, the dense one's, at both widths and a little apart by seed."""
    rows = []
    for width in ("", "@16"):
        for seed in range(4):
            jitter = 0.001 * seed
            rows.append(Row(f"dense{width}", 1.0, seed, {"nll": 0.3 + jitter}, {"weights": 656.0, "flops": 1312.0}))
            for arm, gains in (("sparse-ift", ours), ("random", static)):
                for budget, gain in zip(BUDGETS, gains, strict=True):
                    quality = {"nll": 0.3 + gain + 2 * jitter}
                    rows.append(Row(f"{arm}{width}", budget, seed, quality, {"weights": weights, "flops": 2 * weights}))
    facts = {row.arm: ArmFacts("dense" if row.arm.startswith("dense") else "method", row.arm) for row in rows}
    return Results("r", "r", "", {"nll": "lower"}, facts, list(BUDGETS), list(range(4)), rows)


@pytest.mark.parametrize(
    ("ours", "static", "weights", "verdict"),
    [
        ((-0.1, -0.1, -0.1), (0.1, 0.1, 0.1), 656.0, "confirmed"),
        ((-0.1, -0.1, 0.1), (0.1, -0.1, 0.1), 656.0, "confirmed"),
        ((-0.1, 0.1, 0.1), (0.1, 0.1, 0.1), 656.0, "refuted"),
        ((-0.1, -0.1, -0.1), (-0.1, -0.1, 0.1), 656.0, "refuted"),
        ((-0.1, -0.1, -0.1), (0.1, 0.1, 0.1), 670.0, "refuted"),
        ((-0.1, -0.0015, -0.0015), (0.1, 0.1, 0.1), 656.0, "inconclusive"),
    ],
)
def test_the_rule_is_that_of_the_card(ours, static, weights, verdict):
    assert rule(SETTING).judge(results(ours, static, weights)).verdict == verdict


def test_arms_at_each_width_have_the_non_zeros_of_the_card():
    for suffix, size in (("", 656), ("@16", 1440), ("@32", 3392)):
        for name in ("random", "set", "sparse-ift") if suffix != "@32" else ("sparse-ift",):
            arm = arms()[f"{name}{suffix}"]
            arm, width = (arm.trainer, arm.width) if isinstance(arm, AtWidth) else (arm, 8)
            for density in BUDGETS:
                report = arm.transformed(replace(perceptron(), width=width).problem, density).report
                assert report.active_weights == report.macs == size
    for name in ("parallel", "factorized", "doped", "random:parallel"):
        assert arms()[name].transformed(perceptron().problem, 0.25).report.macs == 656


def test_a_run_of_seconds_has_all_rows_and_says_what_the_rule_does_not_ask():
    smoke = replace(claim.settings["smoke"], task=lambda: perceptron(epochs=1))
    said = reproduce(replace(claim, settings={"smoke": smoke}), "smoke", seeds=1).to_dict()
    assert {row["arm"] for row in said["rows"]} == set(claim.arms) and {"dense", "random", "sparse-ift"} <= set(claim.arms)
    assert {"weights", "flops", "train_macs"} <= set(said["rows"][0]["cost"])
    why = "\n".join(said["why"])
    assert "saturated at width 32" in why and "random:doped at density 0.25" in why and "seconds of training" in why
    assert said["verdict"] == "inconclusive"


def test_means_without_intervals_are_said_beside_the_rule():
    said = claim.beside(results((-0.1, -0.0001, -0.1), (0.1, 0.1, -0.1)))
    assert "sparse-ift@16 has a lower mean cross-entropy than dense@16 at 2 of 3 densities" in said
    assert "random has a lower mean cross-entropy than dense at 1 of 3 densities" in said


def test_the_arms_of_the_papers_network_train_on_small_images():
    task = replace(claim.setting("paper").task(), images="digits", test=0.9, width=4, recipe=Recipe(epochs=1), device="cpu")
    assert isinstance(task, NarrowTraining)
    for name, arm in claim.setting("paper").arms.items():
        measured = task.measure(arm, Density(1.0 if arm.kind == "dense" else 0.25), 0)
        assert 0 <= measured.quality["accuracy"] <= 1, name
    assert "accuracy of sparse-ift is above that of dense" in str(rule(claim.setting("paper")))
