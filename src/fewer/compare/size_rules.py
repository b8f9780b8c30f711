"""Rules over pairs of arms at growing sizes (dense@16 and erk@16, dense@32 and erk@32, ...): how does their difference move?"""

from dataclasses import dataclass
from itertools import pairwise
from math import nan, sqrt

from fewer.compare.result import Results
from fewer.compare.rules import MINIMUM_SEEDS, Judgement, Rule, Verdict
from fewer.measure.statistics import Interval, paired_difference

Pair = tuple[str, str]
"""An arm and the one that it is held against, at one size."""


@dataclass(frozen=True)
class OverSizes(Rule):
    """Differences in `measure`, first arm - second, by seed, for each pair from the smallest size to the largest.

    Fewer than three seeds of any pair decide nothing.
    """

    measure: str
    pairs: tuple[Pair, ...]
    budget: float

    def judge(self, results: Results) -> Judgement:
        found = [self._differences(results, pair) for pair in self.pairs]
        if any(len(one) < MINIMUM_SEEDS for one in found):
            what = f"{self}: {MINIMUM_SEEDS} seeds are needed of each arm"
            return Judgement("inconclusive", Interval(nan, nan, nan, 0), what)
        verdict, effect, shown = self.weigh(found)
        said = ", ".join(f"{' - '.join(pair)} {text}" for pair, text in zip(self.pairs, shown, strict=True))
        return Judgement(verdict, effect, f"{self.measure} at density {self.budget:g}: {said} -> {verdict}")

    def weigh(self, found: list[dict[int, float]]) -> tuple[Verdict, Interval, list[str]]:
        """The verdict, the difference that decides, and what is said of each pair."""
        raise NotImplementedError

    def _differences(self, results: Results, pair: Pair) -> dict[int, float]:
        ours, theirs = (results.values(arm, self.budget, self.measure) for arm in pair)
        return {seed: ours[seed] - theirs[seed] for seed in ours if seed in theirs}

    @property
    def _where(self) -> str:
        return (
            f"{self.pairs[0][0]} and {self.pairs[0][1]} to {self.pairs[-1][0]} and {self.pairs[-1][1]}, density {self.budget:g}"
        )


@dataclass(frozen=True)
class GapFalls(OverSizes):
    """The mean difference falls from each size to the next, and from first to last by the paired 95% interval.

    Refuted where that interval lies above 0, or that of one step does.
    """

    def weigh(self, found: list[dict[int, float]]) -> tuple[Verdict, Interval, list[str]]:
        steps = [paired_difference(after, before) for before, after in pairwise(found)]
        whole = paired_difference(found[-1], found[0])
        verdict: Verdict = "inconclusive"
        if any(change.low > 0 for change in (whole, *steps)):
            verdict = "refuted"
        elif whole.high < 0 and all(step.mean < 0 for step in steps):
            verdict = "confirmed"
        return verdict, whole, [f"{_mean(gap):+.4f}" for gap in found]

    def __str__(self) -> str:
        return f"the gap in {self.measure} falls with every size ({self._where})"


@dataclass(frozen=True)
class AheadWhereApart(OverSizes):
    """The first arm is ahead of the second at each size where they differ by more than two standard errors; at one at least."""

    def weigh(self, found: list[dict[int, float]]) -> tuple[Verdict, Interval, list[str]]:
        apart = [gain for gain in found if abs(_mean(gain)) > 2 * _standard_error(gain)]
        worst = min(apart or found, key=_mean)
        verdict: Verdict = "inconclusive" if not apart else "confirmed" if _mean(worst) > 0 else "refuted"
        shown = [f"{_mean(gain):+.4f}{' (apart)' if gain in apart else ''}" for gain in found]
        return verdict, _interval(worst), shown

    def __str__(self) -> str:
        return f"in {self.measure} the first is ahead where they are 2 standard errors apart ({self._where})"


@dataclass(frozen=True)
class WithinNoise(OverSizes):
    """At no size are they told apart: the paired 95% interval holds 0, or lies within `margin` of it.

    Refuted where one interval lies wholly beyond the margin.
    """

    margin: float = 0.0

    def weigh(self, found: list[dict[int, float]]) -> tuple[Verdict, Interval, list[str]]:
        intervals = [_interval(one) for one in found]
        inside = [one.low <= 0 <= one.high or max(-one.low, one.high) <= self.margin for one in intervals]
        beyond = [one.low > self.margin or one.high < -self.margin for one in intervals]
        verdict: Verdict = "refuted" if any(beyond) else "confirmed" if all(inside) else "inconclusive"
        shown = [f"{one.mean:+.4f} [{one.low:.4f}, {one.high:.4f}]" for one in intervals]
        return verdict, max(intervals, key=lambda one: abs(one.mean)), shown

    def __str__(self) -> str:
        return f"in {self.measure} they are within noise, or {self.margin:g}, at every size ({self._where})"


def _interval(differences: dict[int, float]) -> Interval:
    return paired_difference(differences, dict.fromkeys(differences, 0.0))


def _mean(differences: dict[int, float]) -> float:
    return sum(differences.values()) / len(differences)


def _standard_error(differences: dict[int, float]) -> float:
    mean = _mean(differences)
    return sqrt(sum((d - mean) ** 2 for d in differences.values()) / (len(differences) - 1) / len(differences))
