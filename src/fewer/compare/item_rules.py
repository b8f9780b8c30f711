"""Rules over items (queries, texts, ...) where these, and not seeds, are what a result varies with.

Rows carry the values in `detail["items"][measure]`, in one order for all arms. Each item's values are averaged over the seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from fewer.compare.result import Results
from fewer.compare.rules import Judgement, Rule, Verdict
from fewer.errors import MethodError
from fewer.measure.statistics import Interval, bootstrap_interval

MINIMUM_ITEMS = 10
"""A bootstrap of fewer says too little of its own error."""


def item_values(results: Results, arm: str, budget: float, measure: str) -> np.ndarray:
    """Each item's value of `arm`, averaged over its seeds; empty where there is none."""
    rows = [row.detail["items"][measure] for row in results.of(arm, budget) if measure in row.detail.get("items", {})]
    return np.mean(rows, axis=0) if rows else np.empty(0)


def item_difference(results: Results, arm: str, than: str, budget: float, measures: Sequence[str]) -> Interval:
    """Mean of arm - than over the items of all `measures` together, with its bootstrap interval; NaN where not measured."""
    ours, theirs = (np.concatenate([item_values(results, name, budget, m) for m in measures]) for name in (arm, than))
    if not len(ours) or len(ours) != len(theirs):
        return Interval(nan, nan, nan, 0)
    return bootstrap_interval((ours - theirs).tolist())


@dataclass(frozen=True)
class AheadByItem(Rule):
    """`measure` of `arm` is above that of `than`: the paired bootstrap interval over items lies above 0.

    With `or_equal` a mean of at least 0 is enough. Refuted where the whole interval lies below 0.
    """

    measure: str
    arm: str
    than: str
    budget: float
    or_equal: bool = False

    def judge(self, results: Results) -> Judgement:
        effect = item_difference(results, self.arm, self.than, self.budget, [self.measure])
        said = f"{self.measure} of {self.arm} - {self.than}"
        if effect.n < MINIMUM_ITEMS:
            what = f"{said}: not enough items: {effect.n}, {MINIMUM_ITEMS} are needed"
            return Judgement("inconclusive", effect, what)
        verdict: Verdict = "inconclusive"
        if effect.low > 0 or (self.or_equal and effect.mean >= 0):
            verdict = "confirmed"
        elif effect.high < 0:
            verdict = "refuted"
        return Judgement(verdict, effect, f"{said}: {effect.mean:.4f} [{effect.low:.4f}, {effect.high:.4f}] -> {verdict}")

    def __str__(self) -> str:
        return f"{self.measure} of {self.arm} is {'not below' if self.or_equal else 'above'} that of {self.than}"


@dataclass(frozen=True)
class Contest:
    """Arms that compete in one measure at one budget."""

    measure: str
    arm: str
    others: tuple[str, ...]
    budget: float


@dataclass(frozen=True)
class FirstInMost(Rule):
    """In more than half of the contests `arm` has the highest mean, or its paired interval to the highest holds 0.

    Otherwise open: to be second is not to be refuted.
    """

    contests: tuple[Contest, ...]

    def __post_init__(self) -> None:
        if not self.contests:
            raise MethodError("a rule over contests needs at least one.")

    def judge(self, results: Results) -> Judgement:
        lines, won, gaps = [], 0, []
        for contest in self.contests:
            means = {n: item_values(results, n, contest.budget, contest.measure) for n in (*contest.others, contest.arm)}
            if any(len(values) < MINIMUM_ITEMS for values in means.values()):
                lines.append(f"{contest.measure}, {contest.arm}: not measured on {MINIMUM_ITEMS} items")
                continue
            best = max(means, key=lambda name: float(means[name].mean()) + 1e-12 * (name == contest.arm))
            gap = item_difference(results, contest.arm, best, contest.budget, [contest.measure])
            gaps.append(gap)
            word = "first" if best == contest.arm else "within noise of first" if gap.high >= 0 else "behind"
            won += word != "behind"
            beaten = "" if best == contest.arm else f" {best}, {gap.mean:.4f} [{gap.low:.4f}, {gap.high:.4f}]"
            lines.append(f"{contest.measure}: {contest.arm} is {word}{beaten}")
        verdict: Verdict = "confirmed" if 2 * won > len(self.contests) else "inconclusive"
        worst = min(gaps, key=lambda gap: gap.mean, default=Interval(nan, nan, nan, 0))
        tally = f"first or within noise of first in {won} of {len(self.contests)} -> {verdict}"
        return Judgement(verdict, worst, "\n".join([*lines, tally]))

    def __str__(self) -> str:
        arms = ", ".join(dict.fromkeys(contest.arm for contest in self.contests))
        return f"{arms}: first, or within noise of first, in most of {len(self.contests)} contests"
