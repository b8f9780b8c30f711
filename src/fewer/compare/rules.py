"""Rules: fixed before the run, they turn results into confirmed, refuted or inconclusive, with effect and interval."""

from dataclasses import dataclass
from math import isnan, nan
from typing import Literal, NamedTuple

from fewer.compare.result import Results
from fewer.compare.task import Direction
from fewer.errors import MethodError
from fewer.measure.statistics import Interval, paired_difference

Verdict = Literal["confirmed", "refuted", "inconclusive"]
MINIMUM_SEEDS = 3


class Judgement(NamedTuple):
    """What a rule says of results."""

    verdict: Verdict
    effect: Interval
    """Of the part that decided: the one that refutes, else the weakest."""
    text: str
    """Each part with its numbers, a line each."""


class Rule:
    """Judges results; `str(rule)` is what a reader sees."""

    def judge(self, results: Results) -> Judgement:
        raise NotImplementedError

    def __and__(self, other: "Rule") -> "Rule":
        return all_of(self, other)


@dataclass(frozen=True)
class Below(Rule):
    """`measure` of `arm` is below that of `than`, plus `margin`, at every budget of `at`, by the paired 95% interval.

    Confirmed where the whole interval of arm - than (arm / than with `ratio`) lies at or below `margin`, refuted where all of
    it lies above. Fewer than three seeds, or no difference at all in any seed, decide nothing.
    """

    measure: str
    arm: str
    than: str
    at: tuple[float, ...]
    margin: float = 0.0
    ratio: bool = False

    def __post_init__(self) -> None:
        if not self.at:
            raise MethodError(f"a rule on {self.measure} needs at least one density to hold at.")

    def judge(self, results: Results) -> Judgement:
        return _weakest([self._at(results, budget) for budget in self.at])

    def _at(self, results: Results, budget: float) -> Judgement:
        ours, theirs = (results.values(name, budget, self.measure) for name in (self.arm, self.than))
        if not ours.keys() & theirs.keys():
            return Judgement("inconclusive", Interval(nan, nan, nan, 0), f"{self._said(budget)}: not measured")
        effect = paired_difference(ours, theirs, log=self.ratio)
        if results.fixed(self.arm, budget) and results.fixed(self.than, budget):
            effect = effect._replace(n=1)  # one measurement each, however many seeds it stands for
        verdict = _verdict(effect, self.margin)
        return Judgement(verdict, effect, f"{self._said(budget)}: {_shown(effect)} -> {verdict}")

    def _said(self, budget: float) -> str:
        what = f"{self.arm} {'/' if self.ratio else '-'} {self.than}"
        return f"{self.measure} of {what} at density {budget:g}"

    def __str__(self) -> str:
        return self._sentence("below", self.arm, self.than)

    def _sentence(self, side: str, small: str, large: str) -> str:
        """`small` and `large` are the arms as the rule orders them; `side` is where the arm lies."""
        where = f"at density {', '.join(f'{b:g}' for b in self.at)}"
        if self.ratio:
            return f"{self.measure} of {small} is at most {self.margin:g} times that of {large} {where}"
        allowed = f", within {self.margin:g}" if self.margin else ""
        return f"{self.measure} of {self.arm} is {side} that of {self.than}{allowed} {where}"


@dataclass(frozen=True)
class Above(Below):
    """The mirror of `Below`: at or above `than` minus `margin`."""

    def _at(self, results: Results, budget: float) -> Judgement:
        return Below(self.measure, self.than, self.arm, self.at, self.margin, self.ratio)._at(results, budget)

    def __str__(self) -> str:
        return self._sentence("above", self.than, self.arm)


@dataclass(frozen=True)
class AllOf(Rule):
    """Every part: confirmed when all are, refuted when one is."""

    parts: tuple[Rule, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise MethodError("all_of needs at least one rule.")

    def judge(self, results: Results) -> Judgement:
        return _weakest([part.judge(results) for part in self.parts])

    def __str__(self) -> str:
        return "; and ".join(map(str, self.parts))


@dataclass(frozen=True)
class AtLeast(Rule):
    """So many of the parts: confirmed when enough are, refuted when too many are refuted for that."""

    count: int
    parts: tuple[Rule, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.count <= len(self.parts):
            raise MethodError(f"at_least needs a count from 1 to its {len(self.parts)} rules, not {self.count}.")

    def judge(self, results: Results) -> Judgement:
        judged = [part.judge(results) for part in self.parts]
        said: dict[Verdict, int] = {v: sum(j.verdict == v for j in judged) for v in ("confirmed", "refuted", "inconclusive")}
        if said["confirmed"] >= self.count:
            verdict: Verdict = "confirmed"
        else:
            verdict = "refuted" if said["refuted"] > len(judged) - self.count else "inconclusive"
        deciding = sorted(judged, key=_strength)[-self.count]
        tally = f"{said['confirmed']} of {len(judged)} confirmed, {self.count} needed -> {verdict}"
        return Judgement(verdict, deciding.effect, "\n".join([*(j.text for j in judged), tally]))

    def __str__(self) -> str:
        return f"at least {self.count} of: ({'; or '.join(map(str, self.parts))})"


@dataclass(frozen=True)
class NotShown(Rule):
    """What `part` says is not shown: refuted where it is confirmed, confirmed where it is refuted or open.

    For a baseline that must not succeed as well. With too few seeds to show anything it stays open.
    """

    part: Rule

    def judge(self, results: Results) -> Judgement:
        judged = self.part.judge(results)
        if judged.effect.n < MINIMUM_SEEDS:
            verdict: Verdict = "inconclusive"
        else:
            verdict = "refuted" if judged.verdict == "confirmed" else "confirmed"
        return Judgement(verdict, judged.effect, f"{judged.text}\nnot shown, as it should be -> {verdict}")

    def __str__(self) -> str:
        return f"it is not shown that {self.part}"


def lower(measure: str, arm: str, than: str, at: list[float]) -> Below:
    """`measure` of `arm` is lower than that of `than` at each density."""
    return Below(measure, arm, than, tuple(at))


def higher(measure: str, arm: str, than: str, at: list[float]) -> Above:
    """`measure` of `arm` is higher than that of `than` at each density."""
    return Above(measure, arm, than, tuple(at))


def within(measure: str, arm: str, of: str, margin: float, at: list[float], ratio: bool = False) -> Below:
    """`measure` of `arm` exceeds that of `of` by at most `margin` (with `ratio`: is at most `margin` times it)."""
    return Below(measure, arm, of, tuple(at), margin, ratio)


def dominates(
    arm: str, than: str, quality: str, cost: str, at: list[float], better: Direction = "lower", margin: float = 0.0
) -> AllOf:
    """No worse in `quality` (to within `margin`) and lower in `cost`, at each density."""
    one = Below if better == "lower" else Above
    return AllOf((one(quality, arm, than, tuple(at), margin), Below(cost, arm, than, tuple(at))))


def all_of(*rules: Rule) -> AllOf:
    """Every one of `rules`."""
    return AllOf(tuple(part for rule in rules for part in (rule.parts if isinstance(rule, AllOf) else (rule,))))


def at_least(count: int, *rules: Rule) -> AtLeast:
    """`count` of `rules`, whichever."""
    return AtLeast(count, rules)


def not_shown(rule: Rule) -> NotShown:
    """`rule` is not confirmed."""
    return NotShown(rule)


def _verdict(effect: Interval, margin: float) -> Verdict:
    if effect.n < MINIMUM_SEEDS:
        return "inconclusive"
    # Equal in every seed: an interval of no width at the boundary decides nothing, unless a margin was granted.
    if effect.low == effect.high == margin == 0:
        return "inconclusive"
    if effect.high <= margin:
        return "confirmed"
    return "refuted" if effect.low > margin else "inconclusive"


def _weakest(judged: list[Judgement]) -> Judgement:
    """What refutes comes first, then what stays open; among those, the largest effect against the rule."""
    worst = min(judged, key=_strength)
    return Judgement(worst.verdict, worst.effect, "\n".join(j.text for j in judged))


def _strength(judged: Judgement) -> tuple[int, float]:
    order = {"refuted": 0, "inconclusive": 1, "confirmed": 2}
    return order[judged.verdict], 0 if isnan(judged.effect.high) else -judged.effect.high


def _shown(effect: Interval) -> str:
    if effect.n < MINIMUM_SEEDS:
        return f"{effect.mean:.4g} (not enough seeds: {effect.n}, {MINIMUM_SEEDS} are needed)"
    return f"{effect.mean:.4g} [{effect.low:.4g}, {effect.high:.4g}]"
