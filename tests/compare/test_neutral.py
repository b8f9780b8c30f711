import pytest

from fewer.compare.neutral import Neutral, neutral
from fewer.compare.result import ArmFacts, Results, Row
from fewer.errors import MethodError

BUDGETS = [0.5, 0.2, 0.1, 0.05, 0.02]
WOBBLE = [-0.004, 0.003, 0.001, -0.002, 0.004, -0.003, 0.002, -0.001]


def results(*gains, spread=1.0, measure="accuracy"):
    """Eight seeds; at each budget `a` is ahead of `b` by the gain, with a wobble that sums to 0."""
    rows = []
    for budget, gain in zip(BUDGETS, gains, strict=False):
        for seed, wobble in enumerate(WOBBLE):
            base = 0.9 + 0.01 * seed
            rows.append(Row("b", budget, seed, {measure: base}, {}))
            rows.append(Row("a", budget, seed, {measure: base + gain + spread * wobble}, {}))
    facts = {arm: ArmFacts("method", arm) for arm in "ab"}
    return Results("r", "r", "", {measure: "higher"}, facts, BUDGETS, list(range(8)), rows)


RULE = neutral("accuracy", "a", than="b", at=BUDGETS, better="higher", margin=0.02)


def test_no_difference_within_the_margin_confirms():
    judged = RULE.judge(results(0, 0.0005, -0.001, 0.001, 0))
    assert judged.verdict == "confirmed"
    assert judged.text.count("-> neutral, within +-0.02") == 5


def test_better_at_two_budgets_refutes_and_the_largest_gain_is_the_effect():
    judged = RULE.judge(results(0, 0.01, 0.03, 0, 0))
    assert judged.verdict == "refuted" and judged.effect.mean == pytest.approx(0.03)
    assert judged.text.count("-> better") == 2


def test_better_at_one_budget_neither_confirms_nor_refutes():
    assert RULE.judge(results(0, 0.01, 0, 0, 0)).verdict == "inconclusive"


def test_worse_everywhere_does_not_refute_and_is_no_equality_either():
    judged = RULE.judge(results(-0.01, -0.01, -0.01, -0.01, -0.01))
    assert judged.verdict == "inconclusive" and judged.text.count("-> worse") == 5


def test_for_a_measure_where_lower_is_better_the_signs_turn():
    lower = neutral("epochs", "a", than="b", at=BUDGETS, better="lower")
    assert lower.judge(results(*[-0.01] * 5, measure="epochs")).verdict == "refuted"
    assert lower.judge(results(*[0.01] * 5, measure="epochs")).verdict == "inconclusive"
    assert lower.judge(results(*[0.0] * 5, measure="epochs")).verdict == "confirmed"


def test_an_interval_wider_than_the_margin_stays_open_and_says_so():
    wide = results(0, 0, 0, 0, 0, spread=20)
    judged = RULE.judge(wide)
    assert judged.verdict == "inconclusive" and judged.text.count("-> inconclusive: no difference shown") == 5
    assert judged.effect.high > 0.02
    assert neutral("accuracy", "a", than="b", at=BUDGETS, better="higher").judge(wide).verdict == "confirmed"


def test_a_wide_interval_is_allowed_where_no_size_is_asked_for():
    narrow, wide = results(0, 0, 0, 0, 0), results(0, 0, 0, 0, 0, spread=20)
    narrow.rows[:] = [r for r in narrow.rows if r.budget != 0.02] + [r for r in wide.rows if r.budget == 0.02]
    assert RULE.judge(narrow).verdict == "inconclusive"
    four = neutral("accuracy", "a", than="b", at=BUDGETS, better="higher", margin=0.02, sized=BUDGETS[:4])
    judged = four.judge(narrow)
    assert judged.verdict == "confirmed"
    assert judged.text.split("\n")[4].endswith("+-0.02 does not hold the interval")


def test_holm_spares_what_one_test_of_five_shows_by_chance():
    alone = results(0.003, 0, 0, 0, 0)
    one = neutral("accuracy", "a", than="b", at=[0.5], better="higher", margin=0.02)
    assert one.judge(alone).verdict == "refuted"
    assert RULE.judge(alone).verdict == "confirmed"


@pytest.mark.parametrize("seeds", [0, 1, 2])
def test_too_few_seeds_decide_nothing(seeds):
    few = results(0, 0, 0, 0, 0)
    few.rows[:] = [r for r in few.rows if r.seed < seeds]
    judged = RULE.judge(few)
    assert judged.verdict == "inconclusive"
    assert ("not enough seeds" if seeds else "not measured") in judged.text


def test_a_budget_that_was_not_measured_leaves_it_open():
    assert RULE.judge(results(0, 0, 0, 0)).verdict == "inconclusive"


def test_one_measurement_that_stands_for_all_seeds_decides_nothing():
    shared = results(0, 0, 0, 0, 0)
    shared.rows[:] = [Row(r.arm, r.budget, r.seed, r.quality, r.cost, {"shared": r.seed > 0}) for r in shared.rows]
    assert RULE.judge(shared).verdict == "inconclusive"


def test_a_rule_says_what_it_asks():
    assert str(neutral("accuracy", "a", than="b", at=[0.5, 0.1], better="higher", margin=0.02, sized=[0.5])) == (
        "accuracy of a does not differ from that of b at density 0.5, 0.1, "
        "and its 95% interval lies within +-0.02 (at density 0.5)"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": ()},
        {"margin": 0.0},
        {"sized": (0.5,)},
        {"margin": 0.02, "sized": (0.3,)},
    ],
)
def test_a_rule_that_could_not_hold_is_refused_before_any_run(wrong):
    with pytest.raises(MethodError):
        Neutral(**{"measure": "accuracy", "arm": "a", "than": "b", "at": (0.5,), "better": "higher"} | wrong)
