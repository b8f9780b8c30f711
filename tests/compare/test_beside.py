import pytest

from fewer.compare.beside import Alone, Beside, beside
from fewer.compare.result import ArmFacts, Results, Row
from fewer.compare.rules import lower


def losses(**arms: list[float]) -> Results:
    """One loss a seed for each arm."""
    rows = [Row(arm, 0.5, seed, {"loss": loss}, {}) for arm, values in arms.items() for seed, loss in enumerate(values)]
    facts = {arm: ArmFacts("method", arm) for arm in arms}
    return Results("r", "r", "", {"loss": "lower"}, facts, [0.5], [0, 1, 2], rows)


A_BELOW_B = lower("loss", "a", "b", [0.5])
B_BELOW_A = Alone("b is better", lower("loss", "b", "a", [0.5]))
CLEAR = losses(a=[1.0, 1.1, 1.2], b=[2.0, 2.2, 2.1])
OPEN = losses(a=[1.0, 2.1, 1.2], b=[1.1, 1.9, 1.3])


@pytest.mark.parametrize("results", [CLEAR, OPEN, losses(b=[1.0, 1.1, 1.2], a=[2.0, 2.2, 2.1])])
def test_what_stands_beside_a_rule_never_moves_its_verdict_or_effect(results):
    judged, plain = Beside(A_BELOW_B, (B_BELOW_A,)).judge(results), A_BELOW_B.judge(results)
    assert judged[:2] == plain[:2] and judged.text.startswith(f"{plain.text}\nbeside the rule:\nb is better -> ")


def test_a_sentence_beside_a_rule_has_its_verdict_and_its_numbers():
    sentence, numbers = B_BELOW_A.findings(CLEAR)
    assert sentence == "b is better -> refuted"
    assert numbers == f"  {B_BELOW_A.rule.judge(CLEAR).text}"


@pytest.mark.parametrize(("seeds", "verdict"), [(3, "refuted"), (2, "inconclusive")])
def test_a_strict_sentence_is_refuted_where_enough_seeds_do_not_show_it(seeds, verdict):
    strict = Alone("b is better", B_BELOW_A.rule, strict=True)
    some = losses(**{arm: [OPEN.values(arm, 0.5, "loss")[seed] for seed in range(seeds)] for arm in ("a", "b")})
    assert B_BELOW_A.findings(some)[0].endswith("-> inconclusive")
    assert strict.findings(some)[0] == f"b is better -> {verdict}"


def test_the_rule_says_what_is_fixed_with_it():
    strict = Alone("b is better", B_BELOW_A.rule, strict=True)
    assert str(Beside(A_BELOW_B, (strict,))) == (
        f"{A_BELOW_B}. Beside it: b is better, that is {B_BELOW_A.rule} (refuted where it is not shown)"
    )


def test_findings_from_several_sides_stand_under_one_head():
    judged = beside(beside(A_BELOW_B.judge(CLEAR), ["one"]), ["two", "three"])
    assert judged.text.split("\n")[1:] == ["beside the rule:", "one", "two", "three"]
