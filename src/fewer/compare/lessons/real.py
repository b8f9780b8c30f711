"""Item 10: do the zeros count, and does the task need more than a few weights?"""

import math
import statistics

from fewer.compare.lessons.item import QUESTIONS, Item, Verdict
from fewer.compare.lessons.readings import ENOUGH, Estimate, Readings, Subject, difference, estimate, paired
from fewer.compare.lessons.write import computed, missing

EXCESS = 0.02
"""Effective minus nominal sparsity from which it is worth a warning."""


def sparsity(subject: Subject) -> list[Item]:
    """Both denominators, and what of the active weights lies on a path from input to output."""
    excess = paired(subject.read("nominal_density"), subject.read("effective_density"), difference)

    def judge(_: Estimate) -> tuple[Verdict, str]:
        if excess is not None and excess.mean > EXCESS:
            return "warn", f"{excess.mean:.3f} of all weights are kept for nothing"
        return ("pass", "") if excess is not None else ("n/a", "no nominal sparsity to hold it against")

    denominators = {
        "nominal_sparsity": ("nominal_density", "of maskable weights"),
        "total_sparsity": ("total_density", "of all parameters"),
        "effective_sparsity": ("effective_density", "of maskable weights"),
    }
    items = []
    for name, (fact, note) in denominators.items():
        found = estimate(r._replace(value=1 - r.value) for r in subject.read(fact).values())
        judged = judge if name == "effective_sparsity" else None
        items.append(computed(subject, 10, name, found, fact, judge=judged, note=note))
    return items


def saturated(subject: Subject) -> list[Item]:
    """Warns when the dense network is no better than a small dense one, by more than the latter's standard error."""
    # Both as long as the arm itself, where that is known.
    dense, small = subject.read("dense_equal_epochs") or subject.dense(subject.measure), subject.read("small_dense")
    if not dense or not small:
        return [missing(subject, 10, "saturated", "a dense arm and small_dense")]
    seeds = min(_fresh(dense), _fresh(small))
    where = (10, QUESTIONS[10], "saturated", subject.arm, subject.budget)
    a, b = _values(dense), _values(small)
    if seeds < ENOUGH or not all(map(math.isfinite, a + b)):
        return [Item(*where, None, note=f"not enough seeds ({seeds})" if seeds < ENOUGH else "not finite")]
    lead = statistics.fmean(a) - statistics.fmean(b)
    error = statistics.stdev(b) / math.sqrt(len(b))
    full = (lead if subject.higher_is_better else -lead) <= error
    note = "a small dense network does as well: this says little about large models" if full else ""
    return [Item(*where, full, verdict="warn" if full else "pass", note=note)]


def _values(readings: Readings) -> list[float]:
    return sorted(r.value for r in readings.values())


def _fresh(readings: Readings) -> int:
    return sum(r.fresh for r in readings.values())
