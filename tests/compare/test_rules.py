import math

import pytest

from fewer.compare.result import ArmFacts, Results, Row
from fewer.compare.rules import Below, all_of, at_least, dominates, higher, lower, not_shown, within
from fewer.errors import MethodError


def results(**arms) -> Results:
    """Results whose arms have these losses, and half of them as milliseconds, seed by seed at density 0.5; 0.3 doubles them."""
    rows = [
        Row(arm, budget, seed, {"loss": value * factor}, {"ms": value * factor / 2})
        for arm, values in arms.items()
        for budget, factor in ((0.5, 1), (0.3, 2))
        for seed, value in enumerate(values)
    ]
    facts = {arm: ArmFacts("dense" if arm == "dense" else "method", arm) for arm in arms}
    return Results("r", "r", "", {"loss": "lower"}, facts, [0.5, 0.3], [0, 1, 2], rows)


CLEAR = results(a=[1.0, 1.1, 1.2], b=[2.0, 2.11, 2.19])
OPEN = results(a=[1.0, 1.1, 1.2], b=[1.3, 1.0, 1.25])


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (lower("loss", "a", "b", [0.5]), "confirmed"),
        (lower("loss", "b", "a", [0.5]), "refuted"),
        (higher("loss", "b", "a", [0.5]), "confirmed"),
        (higher("loss", "a", "b", [0.5]), "refuted"),
        (lower("ms", "a", "b", [0.5, 0.3]), "confirmed"),
        (within("loss", "b", "a", 1.1, [0.5]), "confirmed"),
        (within("loss", "b", "a", 0.9, [0.5]), "refuted"),
        (within("loss", "b", "a", 1.0, [0.5]), "inconclusive"),
        (within("loss", "b", "a", 2.2, [0.5], ratio=True), "confirmed"),
        (within("loss", "b", "a", 1.5, [0.5], ratio=True), "refuted"),
        (within("loss", "b", "a", 1.9, [0.5], ratio=True), "inconclusive"),
        (dominates("a", "b", "loss", "ms", [0.5, 0.3]), "confirmed"),
        (dominates("b", "a", "loss", "ms", [0.5]), "refuted"),
        (dominates("a", "b", "loss", "ms", [0.5], better="higher"), "refuted"),
        (dominates("a", "b", "loss", "ms", [0.5], better="higher", margin=1.2), "confirmed"),
        (all_of(lower("loss", "a", "b", [0.5]), higher("ms", "b", "a", [0.3])), "confirmed"),
        (all_of(lower("loss", "a", "b", [0.5]), lower("ms", "b", "a", [0.3])), "refuted"),
        (lower("loss", "a", "b", [0.5]) & lower("loss", "b", "a", [0.5]), "refuted"),
        (at_least(1, lower("loss", "a", "b", [0.5]), lower("loss", "b", "a", [0.5])), "confirmed"),
        (at_least(2, lower("loss", "a", "b", [0.5]), lower("loss", "b", "a", [0.5])), "refuted"),
        (not_shown(lower("loss", "a", "b", [0.5])), "refuted"),
        (not_shown(lower("loss", "b", "a", [0.5])), "confirmed"),
    ],
)
def test_clear_results_confirm_or_refute(rule, verdict):
    assert rule.judge(CLEAR).verdict == verdict


@pytest.mark.parametrize(
    "rule",
    [
        lower("loss", "a", "b", [0.5]),
        lower("loss", "b", "a", [0.5]),
        higher("loss", "a", "b", [0.3]),
        within("loss", "a", "b", 0.1, [0.5]),
        within("loss", "a", "b", 1.05, [0.5], ratio=True),
        dominates("a", "b", "loss", "ms", [0.5]),
        all_of(lower("loss", "a", "b", [0.5]), within("loss", "a", "b", 100, [0.5])),
        at_least(2, lower("loss", "a", "b", [0.5]), within("loss", "a", "b", 100, [0.5]), lower("loss", "b", "a", [0.5])),
    ],
)
def test_results_that_overlap_stay_open(rule):
    assert rule.judge(OPEN).verdict == "inconclusive"


def test_one_budget_that_refutes_refutes_the_whole_and_one_that_is_open_leaves_it_open():
    mixed = results(a=[1.0, 1.1, 1.2], b=[2.0, 2.11, 2.19])
    swapped = {"a": "b", "b": "a"}
    rows = [Row(swapped[r.arm] if r.budget == 0.3 else r.arm, r.budget, r.seed, r.quality, r.cost) for r in mixed.rows]
    mixed.rows[:] = rows
    judgement = lower("loss", "a", "b", [0.5, 0.3]).judge(mixed)
    assert judgement.verdict == "refuted" and judgement.effect.mean > 0
    assert lower("loss", "a", "b", [0.5, 0.4]).judge(mixed).verdict == "inconclusive"
    assert lower("loss", "a", "b", [0.3, 0.4]).judge(mixed).verdict == "refuted"


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_decide_nothing_and_say_so(seeds):
    few = results(a=[1.0, 1.1][:seeds], b=[200.0, 200.1][:seeds])
    judgement = lower("loss", "a", "b", [0.5]).judge(few)
    assert judgement.verdict == "inconclusive" and f"not enough seeds: {seeds}, 3 are needed" in judgement.text


def test_only_seeds_that_both_have_count():
    assert lower("loss", "a", "b", [0.5]).judge(results(a=[1.0, 1.1, 1.2], b=[2.0, 2.1])).verdict == "inconclusive"


def test_no_difference_in_any_seed_decides_nothing_unless_a_margin_was_granted():
    equal = results(a=[1.0, 1.1, 1.2], b=[1.0, 1.1, 1.2])
    assert lower("loss", "a", "b", [0.5]).judge(equal).verdict == "inconclusive"
    assert higher("loss", "a", "b", [0.5]).judge(equal).verdict == "inconclusive"
    assert within("loss", "a", "b", 0.1, [0.5]).judge(equal).verdict == "confirmed"
    assert within("loss", "a", "b", 1.0, [0.5], ratio=True).judge(equal).verdict == "confirmed"


def test_what_was_not_measured_stays_open_and_says_so():
    for rule in (lower("loss", "a", "c", [0.5]), lower("f1", "a", "b", [0.5]), lower("loss", "a", "b", [0.9])):
        judgement = rule.judge(CLEAR)
        assert judgement.verdict == "inconclusive" and "not measured" in judgement.text and judgement.effect.n == 0


def test_infinite_losses_of_one_arm_do_not_confirm_anything_by_themselves():
    diverged = results(a=[1.0, 1.1, 1.2], b=[math.inf] * 3)
    assert lower("loss", "a", "b", [0.5]).judge(diverged).verdict == "inconclusive"
    both = results(a=[math.inf] * 3, b=[math.inf] * 3)
    assert lower("loss", "a", "b", [0.5]).judge(both).verdict == "inconclusive"


def test_a_dense_arm_stands_for_every_budget():
    dense = results(dense=[1.0, 1.1, 1.2], a=[2.0, 2.11, 2.19])
    dense.rows[:] = [r for r in dense.rows if r.arm != "dense" or r.budget == 0.5]
    assert lower("loss", "dense", "a", [0.3]).judge(dense).verdict == "confirmed"


def test_the_text_says_the_numbers_a_line_for_each_part():
    judgement = all_of(lower("loss", "a", "b", [0.5, 0.3]), within("loss", "b", "a", 2.1, [0.5], ratio=True)).judge(CLEAR)
    lines = judgement.text.split("\n")
    assert lines[0] == "loss of a - b at density 0.5: -1 [-1.025, -0.9752] -> confirmed"
    assert lines[1].startswith("loss of a - b at density 0.3: -2 [")
    assert lines[2].startswith("loss of b / a at density 0.5: 1.913 [") and len(lines) == 3


def test_the_effect_is_that_of_the_weakest_part():
    judgement = lower("loss", "a", "b", [0.5, 0.3]).judge(CLEAR)
    assert judgement.effect.mean == pytest.approx(-1.0) and judgement.effect.n == 3
    assert judgement.effect.low < judgement.effect.mean < judgement.effect.high <= 0


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (lower("loss", "a", "b", [0.5, 0.3]), "loss of a is below that of b at density 0.5, 0.3"),
        (higher("loss", "a", "b", [0.5]), "loss of a is above that of b at density 0.5"),
        (within("loss", "a", "b", 0.1, [0.5]), "loss of a is below that of b, within 0.1 at density 0.5"),
        (within("ms", "a", "b", 1.1, [0.5], ratio=True), "ms of a is at most 1.1 times that of b at density 0.5"),
        (
            dominates("a", "b", "f1", "ms", [0.5], better="higher", margin=0.01),
            "f1 of a is above that of b, within 0.01 at density 0.5; and ms of a is below that of b at density 0.5",
        ),
    ],
)
def test_a_rule_says_what_it_asks(rule, says):
    assert str(rule) == says


def test_nested_parts_are_flattened():
    a, b, c = (lower("loss", "a", "b", [d]) for d in (0.5, 0.4, 0.3))
    assert all_of(a, all_of(b, c)).parts == (a & b & c).parts == (a, b, c)


def test_a_rule_about_nothing_is_refused_before_any_run():
    for make in (lambda: lower("loss", "a", "b", []), lambda: Below("loss", "a", "b", ()), lambda: all_of()):
        with pytest.raises(MethodError, match="at least one"):
            make()


def test_arms_that_no_seed_touches_are_one_measurement_each_and_decide_nothing():
    rows = [
        Row(arm, 0.5, seed, {"loss": value}, {}, {"shared": seed > 0})
        for arm, value in (("a", 1.0), ("b", 2.0))
        for seed in range(3)
    ]
    facts = {arm: ArmFacts("method", arm) for arm in "ab"}
    judged = lower("loss", "a", "b", [0.5]).judge(Results("r", "r", "", {"loss": "lower"}, facts, [0.5], [0, 1, 2], rows))
    assert judged.verdict == "inconclusive"
    assert "not enough seeds: 1" in judged.text


def test_what_is_open_is_not_shown_unless_seeds_are_too_few_to_show_it():
    rule = not_shown(lower("loss", "a", "b", [0.5]))
    assert rule.judge(OPEN).verdict == "confirmed"
    assert rule.judge(results(a=[1.0, 1.1], b=[1.3, 1.0])).verdict == "inconclusive"
    assert str(rule) == "it is not shown that loss of a is below that of b at density 0.5"


def test_at_least_counts_and_states_the_effect_of_the_part_that_decides():
    better, worse = lower("loss", "a", "b", [0.5]), lower("loss", "b", "a", [0.5])
    judged = at_least(2, better, worse, lower("loss", "a", "b", [0.3])).judge(CLEAR)
    assert judged.verdict == "confirmed"
    assert judged.effect == better.judge(CLEAR).effect
    assert judged.text.splitlines()[-1] == "2 of 3 confirmed, 2 needed -> confirmed"
    assert at_least(1, better, worse).judge(OPEN).verdict == "inconclusive"
    assert str(at_least(1, better, worse)) == f"at least 1 of: ({better}; or {worse})"


@pytest.mark.parametrize("count", [0, 3])
def test_at_least_needs_a_count_that_its_rules_can_meet(count):
    rule = lower("loss", "a", "b", [0.5])
    with pytest.raises(MethodError, match="from 1 to its 2 rules"):
        at_least(count, rule, rule)
