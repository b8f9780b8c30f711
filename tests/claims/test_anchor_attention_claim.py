import math

import pytest

from fewer.claims import load
from fewer.claims.claim import reproduce
from fewer.compare.result import ArmFacts, Results, Row

CLAIM = load("anchor-attention")
SETTING = CLAIM.setting("small")


def results(**recall):
    """Recall of layer 0 by arm, the same at every density; seeds differ a little, alike in all arms."""
    rows = [
        Row(
            arm,
            budget,
            seed,
            {"recall_layer_0": mean + seed / 1000, "recall_layer_1": 0.5, "second_copy_nll": 1.0},
            {},
            {},
            0.0,
        )
        for arm, mean in {"dense": 1.0, "plain-threshold": 0.6, **recall}.items()
        for budget in SETTING.budgets
        for seed in range(3)
    ]
    arms = {arm: ArmFacts("method", arm, "after", False, False, "", "", {}) for arm in {row.arm for row in rows}}
    measures = {"recall_layer_0": "higher", "recall_layer_1": "higher", "second_copy_nll": "lower"}
    return Results("anchor", "", "", measures, arms, list(SETTING.budgets), [0, 1, 2], rows, {}, {}, 0.0)


@pytest.mark.parametrize(
    ("recall", "verdict"),
    [
        ({"anchor-attention": 0.8, "block": 0.6, "random": 0.5, "oracle": 0.81}, "confirmed"),
        ({"anchor-attention": 0.8, "block": 0.75, "random": 0.5, "oracle": 0.81}, "refuted"),  # blocks come too near
        ({"anchor-attention": 0.8, "block": 0.6, "random": 0.75, "oracle": 0.81}, "refuted"),  # chance does
        ({"anchor-attention": 0.8, "block": 0.6, "random": 0.5, "oracle": 0.9}, "refuted"),  # the oracle is far off
    ],
)
def test_columns_must_lead_and_come_near_the_oracle(recall, verdict):
    judged = CLAIM.rule(SETTING).judge(results(**recall))
    assert judged.verdict == verdict
    assert "beside the rule:" in judged.text and "its loss is near dense -> " in judged.text


def test_smoke_runs_through(tmp_path):
    found = reproduce(CLAIM, "smoke", seeds=1, folder=tmp_path).to_dict()
    quality = {row["arm"]: row["quality"] for row in found["rows"]}
    assert set(quality) == set(CLAIM.arms) and quality["dense"]["recall_layer_0"] == 1
    assert quality["oracle"]["recall_layer_0"] >= max(quality[arm]["recall_layer_0"] for arm in ("random", "block")) - 1e-6
    assert all(math.isfinite(value) for one in quality.values() for value in one.values())
    kept = {row["arm"]: row["cost"]["cells_kept"] for row in found["rows"] if row["arm"] not in ("dense", "plain-threshold")}
    assert len({round(cells) for cells in kept.values()}) == 1  # as many columns in all of them
