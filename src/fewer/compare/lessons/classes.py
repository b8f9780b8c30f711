"""Item 6: which arms may be ranked against each other."""

from typing import NamedTuple

from fewer.compare.lessons.item import QUESTIONS, Item
from fewer.compare.lessons.readings import Subject
from fewer.compare.result import Results
from fewer.errors import StoreError


class Class(NamedTuple):
    """What must be equal for a ranking to be fair."""

    phase: str
    needs_data: bool
    needs_pretrained: bool


def class_of(results: Results, arm: str) -> Class:
    """Raises StoreError for an arm that the comparison does not have."""
    if arm not in results.arms:
        raise StoreError(f"{results.name} has no arm {arm}; its arms are {', '.join(results.arms)}.")
    facts = results.arms[arm]
    return Class(facts.phase, facts.needs_data, facts.needs_pretrained)


def comparable(results: Results, a: str, b: str) -> bool:
    """May `a` and `b` be ranked? Only when they act in the same phase and need the same: data, a trained model."""
    return class_of(results, a) == class_of(results, b)


def ranking(results: Results, budget: float) -> dict[Class, list[str]]:
    """The methods of each class, best mean of the main quality first. There is no ranking across classes."""
    ranked: dict[Class, list[tuple[float, str]]] = {}
    sign = -1 if results.quality[results.primary] == "higher" else 1
    for arm, facts in results.arms.items():
        if facts.kind == "method" and (values := results.values(arm, budget, results.primary)):
            mean = sum(sorted(values.values())) / len(values)
            ranked.setdefault(class_of(results, arm), []).append((sign * mean, arm))
    return {kind: [arm for _, arm in sorted(arms)] for kind, arms in ranked.items()}


def comparable_with(subject: Subject) -> list[Item]:
    """Warns when the comparison shows methods of other classes beside this one; baselines stand beside every arm."""
    results = subject.results
    others = [
        arm for arm, facts in results.arms.items()
        if arm != subject.arm and facts.kind == "method" and results.of(arm, subject.budget)
    ]  # fmt: skip
    same = [arm for arm in others if comparable(results, subject.arm, arm)]
    different = [arm for arm in others if arm not in same]
    return [
        Item(
            6, QUESTIONS[6], "comparable_with", subject.arm, subject.budget, ", ".join(same) or "none",
            verdict="warn" if different else "n/a",
            note=f"different class, not to be ranked with it: {', '.join(different)}" if different else "",
        )
    ]  # fmt: skip
