"""Rules over items on made-up results."""

import math

import numpy as np
import pytest

from fewer.compare.item_rules import AheadByItem, Contest, FirstInMost, item_difference, item_values
from fewer.compare.result import ArmFacts, Results, Row
from fewer.errors import MethodError

BASE = np.linspace(0.2, 0.8, 40)
WOBBLE = np.tile([0.01, -0.01], 20)


def made_up(**arms: list[np.ndarray]) -> Results:
    """Arms with their items, an array a seed."""
    rows = [
        Row(name, 0.5, seed, {"map": float(v.mean())}, {}, {"items": {"map": v.tolist()}})
        for name, values in arms.items()
        for seed, v in enumerate(values)
    ]
    return Results("r", "r", "", {"map": "higher"}, {n: ArmFacts("method", n) for n in arms}, [0.5], [0, 1], rows)


@pytest.mark.parametrize(
    ("gain", "or_equal", "verdict"),
    [
        (0.02, False, "confirmed"),
        (-0.02, False, "refuted"),
        (0.0005, False, "inconclusive"),
        (0.0005, True, "confirmed"),
        (-0.0005, True, "inconclusive"),
        (-0.02, True, "refuted"),
    ],
)
def test_ahead_by_item_confirms_refutes_and_stays_open(gain: float, or_equal: bool, verdict: str) -> None:
    results = made_up(ours=[BASE + WOBBLE + gain], theirs=[BASE])
    judged = AheadByItem("map", "ours", "theirs", 0.5, or_equal).judge(results)
    assert judged.verdict == verdict
    assert judged.effect.mean == pytest.approx(gain)


def test_items_are_averaged_over_seeds() -> None:
    results = made_up(ours=[BASE, BASE + 0.2], theirs=[BASE])
    assert item_values(results, "ours", 0.5, "map") == pytest.approx(BASE + 0.1)
    assert item_difference(results, "ours", "theirs", 0.5, ["map"]).n == 40


def test_what_was_not_measured_or_too_little_decides_nothing() -> None:
    few = made_up(ours=[BASE[:5] + 1], theirs=[BASE[:5]])
    assert AheadByItem("map", "ours", "theirs", 0.5).judge(few).verdict == "inconclusive"
    missing = AheadByItem("recall", "ours", "theirs", 0.5).judge(few)
    assert missing.verdict == "inconclusive" and math.isnan(missing.effect.mean)


@pytest.mark.parametrize(
    ("second", "verdict", "word"),
    [
        (BASE - 0.1, "confirmed", "is first"),
        (BASE + WOBBLE + 0.0005, "confirmed", "within noise"),
        (BASE + 0.1, "inconclusive", "behind"),
    ],
)
def test_first_in_most_counts_firsts_and_those_within_noise(second: np.ndarray, verdict: str, word: str) -> None:
    results = made_up(ours=[BASE], second=[second], third=[BASE - 0.2])
    judged = FirstInMost((Contest("map", "ours", ("second", "third"), 0.5),)).judge(results)
    assert judged.verdict == verdict
    assert word in judged.text


def test_half_of_the_contests_are_not_most() -> None:
    results = made_up(ours=[BASE], better=[BASE + 0.1], worse=[BASE - 0.1])
    rule = FirstInMost(tuple(Contest("map", "ours", (other,), 0.5) for other in ("better", "worse")))
    assert rule.judge(results).verdict == "inconclusive"
    with pytest.raises(MethodError, match="at least one"):
        FirstInMost(())
