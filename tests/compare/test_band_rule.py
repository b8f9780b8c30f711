import pytest

from fewer.compare.band_rule import Band
from fewer.compare.result import ArmFacts, Results, Row
from fewer.compare.rules import Below
from fewer.errors import MethodError


def ratios(*values: float) -> Results:
    """An arm `a` whose cost is so many times that of `b`, seed by seed."""
    rows = [
        Row(arm, 0.5, seed, {}, {"cost": value})
        for seed, ratio in enumerate(values)
        for arm, value in (("a", 100 * ratio), ("b", 100.0))
    ]
    facts = {arm: ArmFacts("method", arm) for arm in "ab"}
    return Results("r", "r", "", {"cost": "lower"}, facts, [0.5], list(range(len(values))), rows)


BAND = Band(Below("cost", "a", "b", (0.5,), 0.6, ratio=True), refuted=0.9)


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (ratios(0.5, 0.51, 0.49), "confirmed"),
        (ratios(0.75, 0.76, 0.74), "inconclusive"),
        (ratios(0.95, 0.96, 0.97), "refuted"),
        (ratios(0.5, 0.7, 0.6), "inconclusive"),
        (ratios(0.5, 0.5), "inconclusive"),
    ],
)
def test_between_the_two_lines_nothing_is_decided(measured, verdict):
    judged = BAND.judge(measured)
    assert judged.verdict == verdict
    assert judged.text.endswith(f"-> {verdict}")


def test_a_band_must_not_refute_what_it_confirms():
    with pytest.raises(MethodError, match=r"confirms, 0\.6; given: 0\.5"):
        Band(BAND.part, refuted=0.5)


def test_both_lines_are_said():
    assert str(BAND) == "cost of a is at most 0.6 times that of b at density 0.5 (refuted beyond 0.9)"
