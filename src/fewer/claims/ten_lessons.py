"""Ten lessons (Liu & Wang 2023, arXiv 2302.02596): a report card that says what a comparison shows, and what it does not."""

from fewer.claims.claim import Claim, Setting
from fewer.compare.lessons import card
from fewer.compare.result import Results
from fewer.compare.rules import Judgement, Rule, all_of, higher
from fewer.weights.tasks.digits import ARMS, DigitsTraining


def rule(setting: Setting) -> Rule:
    """Dynamic beats static sparse training at equal epochs: the ranking that the card's item 5 rests on."""
    at = list(setting.budgets)
    return all_of(
        higher("accuracy", "rigl", than="set", at=at),
        higher("accuracy", "set", than="random", at=at),
    )


def judge(results: Results, ranked: Judgement) -> Judgement:
    """Besides the ranking, the card itself must be whole: a broken card refutes, whatever the ranking says."""
    lines, broken = [], False
    filled = card(results)
    arms = [name for name, facts in results.arms.items() if facts.kind != "dense"]
    for arm in arms:
        numbers = {item.number for item in filled.items if item.arm == arm}
        if numbers != set(range(1, 11)):
            broken = True
            lines.append(f"{arm}: the card lacks items {sorted(set(range(1, 11)) - numbers)} -> refuted")
    passed_missing = [i for i in filled.items if i.kind == "missing" and i.verdict == "pass"]
    lines.append(f"{len(filled.items)} items for {len(arms)} arms, {len(passed_missing)} missing ones shown as passed")
    below = [row.arm for row in results.rows if _effective(row.detail) > _nominal(row.detail) + 1e-9]
    lines.append(f"effective sparsity below nominal in {len(below)} of {len(results.rows)} rows")
    if broken or passed_missing or below:
        return Judgement("refuted", ranked.effect, "\n".join([*lines, ranked.text]))
    return Judgement(ranked.verdict, ranked.effect, "\n".join([*lines, ranked.text]))


def _effective(detail: dict) -> float:
    return detail.get("facts", {}).get("effective_density", 0.0)


def _nominal(detail: dict) -> float:
    return detail.get("facts", {}).get("nominal_density", 1.0)


claim = Claim(
    system="ten-lessons",
    says="A card of ten computed questions tells what a sparse network's comparison has shown: among others that moving masks "
    "(RigL, SET) beat fixed random ones at equal epochs, and that methods of different classes are not ranked.",
    paper="none: the paper is a handbook without result tables (arXiv 2302.02596)",
    arms=ARMS,
    settings={
        "smoke": Setting(lambda: DigitsTraining(epochs=10, rounds=20), budgets=(0.05,)),
        "small": Setting(DigitsTraining, budgets=(0.05,), seeds=5),
        "paper": Setting(lambda: DigitsTraining(epochs=160), budgets=(0.05, 0.02), seeds=10),
    },
    rule=rule,
    method="rigl",
    judge=judge,
)
