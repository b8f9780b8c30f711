"""Writing items: a number with its interval and verdict, a statement, or what is missing."""

import math
from collections.abc import Callable

from fewer.compare.lessons.item import QUESTIONS, Item, Verdict
from fewer.compare.lessons.readings import ENOUGH, Estimate, Subject

Judge = Callable[[Estimate], tuple[Verdict, str]]
"""From an estimate that enough seeds support to its verdict and a note."""


def computed(
    subject: Subject,
    number: int,
    name: str,
    found: Estimate | None,
    needs: str,
    unit: str = "",
    judge: Judge | None = None,
    note: str = "",
) -> Item:
    """An estimate as an item; missing, with what it `needs`, where there is none. Too few seeds are never judged."""
    if found is None:
        return missing(subject, number, name, needs, unit)
    verdict: Verdict = "n/a"
    if judge and found.enough:
        verdict, judged = judge(found)
        note = "; ".join(filter(None, (note, judged)))
    elif found.seeds < ENOUGH:
        note = "; ".join(filter(None, (note, f"not enough seeds ({found.seeds})")))
    elif math.isnan(found.low):
        note = "; ".join(filter(None, (note, "not finite")))
    low, high = _finite(found.low), _finite(found.high)
    return Item(
        number, QUESTIONS[number], name, subject.arm, subject.budget, _finite(found.mean), low, high, unit, "computed",
        verdict, note,
    )  # fmt: skip


def stated(subject: Subject, number: int, name: str, value: str, verdict: Verdict = "n/a", note: str = "") -> Item:
    """What the method says of itself."""
    return Item(number, QUESTIONS[number], name, subject.arm, subject.budget, value, kind="stated", verdict=verdict, note=note)


def missing(subject: Subject, number: int, name: str, needs: str, unit: str = "") -> Item:
    """Printed like any other item, and never a pass."""
    return Item(
        number, QUESTIONS[number], name, subject.arm, subject.budget, None, unit=unit, kind="missing", note=f"needs {needs}"
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
