"""A rule for what should make no difference: tests over all budgets together, and intervals that say how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan

from fewer.compare.result import Results
from fewer.compare.rules import MINIMUM_SEEDS, Judgement, Rule, Verdict
from fewer.compare.task import Direction
from fewer.errors import MethodError
from fewer.measure.statistics import Interval, holm, paired_difference, paired_p_value

LEVEL = 0.05


@dataclass(frozen=True)
class Neutral(Rule):
    """`measure` of `arm` does not differ from that of `than` at any budget of `at`.

    Tested are paired differences over the seeds, by t tests with Holm's correction over all budgets. Refuted where `arm` is
    significantly better at `refuting` budgets or more (at the only one, if there is one). Confirmed where no difference is
    significant, in either direction, and each 95% interval at the budgets of `sized` lies within +-margin: that nothing was
    found says little where much could have been missed. Open otherwise.
    """

    measure: str
    arm: str
    than: str
    at: tuple[float, ...]
    better: Direction
    margin: float | None = None
    """None asks for no size."""
    sized: tuple[float, ...] | None = None
    """Budgets at which the margin must hold; None for all of `at`."""
    refuting: int = 2

    def __post_init__(self) -> None:
        if not self.at:
            raise MethodError(f"a rule on {self.measure} needs at least one density to hold at.")
        if self.margin is not None and not self.margin > 0:
            raise MethodError(f"a margin must be above 0, not {self.margin}: no interval lies within less.")
        if self.sized is not None and (self.margin is None or not set(self.sized) <= set(self.at)):
            raise MethodError(f"a margin is held at densities that are tested, {self.at}, and needs a value.")

    def judge(self, results: Results) -> Judgement:
        effects, raw = zip(*(self._compared(results, budget) for budget in self.at), strict=True)
        tested = holm(raw)
        better = [p < LEVEL and self._gain(effect) > 0 for effect, p in zip(effects, tested, strict=True)]
        within = [self._within(budget, effect) for budget, effect in zip(self.at, effects, strict=True)]
        verdict: Verdict = "inconclusive"
        if sum(better) >= min(self.refuting, len(self.at)):
            verdict = "refuted"
        elif all(p >= LEVEL for p in tested) and all(within):  # NaN is no p value of at least LEVEL
            verdict = "confirmed"
        lines = [self._line(*found) for found in zip(self.at, effects, tested, strict=True)]
        return Judgement(verdict, self._deciding(effects, better, within), "\n".join([*lines, f"taken together -> {verdict}"]))

    def _compared(self, results: Results, budget: float) -> tuple[Interval, float]:
        ours, theirs = (results.values(name, budget, self.measure) for name in (self.arm, self.than))
        if not ours.keys() & theirs.keys():
            return Interval(nan, nan, nan, 0), nan
        effect = paired_difference(ours, theirs)
        if results.fixed(self.arm, budget) and results.fixed(self.than, budget):
            effect = effect._replace(n=1)  # one measurement each, however many seeds it stands for
        return effect, paired_p_value(ours, theirs) if effect.n >= MINIMUM_SEEDS else nan

    def _gain(self, effect: Interval) -> float:
        return effect.mean if self.better == "higher" else -effect.mean

    def _within(self, budget: float, effect: Interval) -> bool:
        """NaN limits lie within nothing."""
        if self.margin is None or budget not in (self.at if self.sized is None else self.sized):
            return True
        return -self.margin <= effect.low and effect.high <= self.margin

    def _deciding(self, effects: Sequence[Interval], better: list[bool], within: list[bool]) -> Interval:
        """Of what refutes the largest gain, else of what is too wide, else of all, the interval that reaches farthest."""
        if any(better):
            return max((e for e, is_better in zip(effects, better, strict=True) if is_better), key=self._gain)
        open_ones = [e for e, fits in zip(effects, within, strict=True) if not fits] or list(effects)
        return max(open_ones, key=lambda e: 0.0 if isnan(e.low) else max(abs(e.low), abs(e.high)))

    def _line(self, budget: float, effect: Interval, p: float) -> str:
        said = f"{self.measure} of {self.arm} - {self.than} at density {budget:g}"
        if not effect.n:
            return f"{said}: not measured"
        if isnan(p):
            return f"{said}: {effect.mean:.4g} (not enough seeds, or not finite: {effect.n}, {MINIMUM_SEEDS} are needed)"
        if p < LEVEL:
            word = "better" if self._gain(effect) > 0 else "worse"
        elif self.margin is None:
            word = "no difference shown"
        elif -self.margin <= effect.low and effect.high <= self.margin:
            word = f"neutral, within +-{self.margin:g}"
        else:
            word = f"inconclusive: no difference shown, but +-{self.margin:g} does not hold the interval"
        return f"{said}: {effect.mean:.4g} [{effect.low:.4g}, {effect.high:.4g}], p = {p:.2g} -> {word}"

    def __str__(self) -> str:
        where = ", ".join(f"{b:g}" for b in self.at)
        sized = ""
        if self.margin is not None:
            held = "" if self.sized is None else f" (at density {', '.join(f'{b:g}' for b in self.sized)})"
            sized = f", and its 95% interval lies within +-{self.margin:g}{held}"
        return f"{self.measure} of {self.arm} does not differ from that of {self.than} at density {where}{sized}"


def neutral(
    measure: str,
    arm: str,
    than: str,
    at: list[float],
    better: Direction,
    margin: float | None = None,
    sized: list[float] | None = None,
) -> Neutral:
    """`measure` of `arm` and `than` is the same: no difference is significant, and where `sized` says, at most `margin`."""
    return Neutral(measure, arm, than, tuple(at), better, margin, None if sized is None else tuple(sized))
