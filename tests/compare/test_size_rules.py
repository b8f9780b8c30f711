import pytest

from fewer.compare.result import ArmFacts, Results, Row
from fewer.compare.rules import MINIMUM_SEEDS
from fewer.compare.size_rules import AheadWhereApart, GapFalls, WithinNoise

PAIRS = (("a@1", "b@1"), ("a@2", "b@2"), ("a", "b"))
NOISE = ((-0.001, 0.0, 0.001, 0.0005), (0.001, 0.0, -0.0005, 0.0), (0.0, 0.001, 0.0005, -0.001))
LOUD = ((0.2, -0.2, 0.2, -0.2), (0.2, 0.2, -0.2, -0.2), (-0.2, 0.2, 0.2, -0.2))


def results(gaps, noise=NOISE):
    """Arms a and b at three sizes, `gaps` apart in the mean over seeds, b with that noise."""
    rows = [
        Row(arm, 0.1, seed, {"accuracy": value}, {})
        for (a, b), gap, own in zip(PAIRS, gaps, noise, strict=True)
        for seed, off in enumerate(own)
        for arm, value in ((a, 0.9), (b, 0.9 - gap + off))
    ]
    arms = {row.arm: ArmFacts("method", row.arm) for row in rows}
    return Results("made up", "", "", {"accuracy": "higher"}, arms, [0.1], list(range(len(noise[0]))), rows)


@pytest.mark.parametrize(
    ("gaps", "noise", "verdict"),
    [
        ((0.3, 0.1, 0.02), NOISE, "confirmed"),
        ((0.3, 0.1, 0.02), LOUD, "inconclusive"),
        ((0.1, 0.2, 0.02), NOISE, "refuted"),  # rises on the way
        ((0.3, 0.1, 0.1002), NOISE, "inconclusive"),  # flat at the end
        ((0.02, 0.1, 0.3), NOISE, "refuted"),
    ],
)
def test_a_gap_must_fall_with_every_size(gaps, noise, verdict):
    assert GapFalls("accuracy", PAIRS, 0.1).judge(results(gaps, noise)).verdict == verdict


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ((0.05, 0.03, 0.0), "confirmed"),  # even at the last, which counts for nothing
        ((0.0, 0.0, 0.0), "inconclusive"),  # never apart
        ((0.05, -0.03, 0.01), "refuted"),
    ],
)
def test_being_ahead_counts_where_they_are_apart(gaps, verdict):
    assert AheadWhereApart("accuracy", PAIRS, 0.1).judge(results(gaps)).verdict == verdict


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ((0.0, 0.0, 0.0), "confirmed"),
        ((0.0, 0.005, -0.005), "confirmed"),  # told apart, within the margin
        ((0.0, 0.05, 0.0), "refuted"),
        ((0.0, -0.05, 0.0), "refuted"),
        ((0.0, 0.0105, 0.0), "inconclusive"),  # told apart, and the interval holds the margin
    ],
)
def test_within_noise_allows_what_no_interval_tells_apart(gaps, verdict):
    assert WithinNoise("accuracy", PAIRS, 0.1, margin=0.01).judge(results(gaps)).verdict == verdict


@pytest.mark.parametrize("rule", [GapFalls, AheadWhereApart, WithinNoise])
def test_few_seeds_decide_nothing_and_every_pair_is_named(rule):
    judged = rule("accuracy", PAIRS, 0.1).judge(results((0.3, 0.1, 0.0), [own[: MINIMUM_SEEDS - 1] for own in NOISE]))
    assert judged.verdict == "inconclusive"
    text = rule("accuracy", PAIRS, 0.1).judge(results((0.3, 0.1, 0.0))).text
    assert all(f"{a} - {b}" in text for a, b in PAIRS)
    assert "a@1 and b@1 to a and b" in str(rule("accuracy", PAIRS, 0.1))
