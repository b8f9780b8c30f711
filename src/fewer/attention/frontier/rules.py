"""What the study says of methods, as rules: who is best where, who breaks alone, who needs least."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fewer.compare.result import Results
from fewer.compare.rules import MINIMUM_SEEDS, Judgement, Rule, Verdict
from fewer.measure.statistics import Interval, paired_difference

UNKNOWN = Interval(math.nan, math.nan, math.nan, 0)
NEAR = 0.1
"""Relative distance to a budget up to which an arm counts as having reached it: forced parts keep some from small ones."""


def reached(results: Results, arm: str, budget: float) -> bool:
    """Is the arm's density that of the budget?"""
    return abs(results.summary(arm, budget, "density").mean - budget) <= NEAR * budget


def _best(results: Results, arms: Sequence[str], budget: float, task: str) -> str:
    means = {arm: results.summary(arm, budget, f"nll:{task}").mean for arm in arms}
    return min(means, key=means.__getitem__)


@dataclass(frozen=True)
class BestDiffers(Rule):
    """In some phase, at some budget, one method is best on one task and another one on another, both beyond noise."""

    phases: Mapping[str, tuple[str, ...]]
    tasks: tuple[str, ...]
    at: tuple[float, ...]

    def judge(self, results: Results) -> Judgement:
        lines, shown = [], UNKNOWN
        for phase, arms in self.phases.items():
            for budget in self.at:
                there = [arm for arm in arms if reached(results, arm, budget)]
                if len(there) < 2:
                    continue
                best = {task: _best(results, there, budget, task) for task in self.tasks}
                lines.append(f"best in {phase} at density {budget:g}: {', '.join(f'{a} on {t}' for t, a in best.items())}")
                for one in self.tasks:
                    for other in self.tasks:
                        ours, theirs = best[one], best[other]
                        if ours == theirs:
                            continue
                        here = results.versus(ours, theirs, budget, f"nll:{one}")
                        back = results.versus(theirs, ours, budget, f"nll:{other}")
                        if here.high < 0 and back.high < 0 and here.n >= MINIMUM_SEEDS:
                            shown = here
        verdict: Verdict = "inconclusive" if math.isnan(shown.mean) else "confirmed"
        return Judgement(verdict, shown, "\n".join([*lines, f"(a) the best method differs between tasks -> {verdict}"]))

    def __str__(self) -> str:
        return "(a) the best method of a phase differs between tasks"


@dataclass(frozen=True)
class NeedsLess(Rule):
    """On some task `arm` stays within `margin` nats of dense from a lower density on than every one of `others`."""

    arm: str
    others: tuple[str, ...]
    tasks: tuple[str, ...]
    margin: float = 0.1

    def judge(self, results: Results) -> Judgement:
        lines, best = [], UNKNOWN
        for task in self.tasks:
            needs = {name: self._needs(results, name, task) for name in (self.arm, *self.others)}
            least = {seed: min(needs[name][seed] for name in self.others) for seed in needs[self.arm]}
            effect = paired_difference(needs[self.arm], least)
            said = ", ".join(f"{name} {sum(by.values()) / len(by):.2f}" for name, by in needs.items())
            lines.append(f"density from which on {task} is within {self.margin:g} nats of dense: {said}")
            if math.isnan(best.mean) or effect.high < best.high:
                best = effect
        verdict: Verdict = "confirmed" if best.n >= MINIMUM_SEEDS and best.high < 0 else "inconclusive"
        lines.append(f"(b) {self.arm} needs less than any of {', '.join(self.others)} -> {verdict}")
        return Judgement(verdict, best, "\n".join(lines))

    def _needs(self, results: Results, arm: str, task: str) -> dict[int, float]:
        """seed -> density; 1 where only dense attention is good enough."""
        dense = results.values(results.dense(), 1.0, f"nll:{task}")
        found = dict.fromkeys(dense, 1.0)
        for seed in dense:
            for budget in sorted(results.budgets, reverse=True):
                value = results.values(arm, budget, f"nll:{task}").get(seed, math.inf)
                if value > dense[seed] + self.margin:
                    break
                found[seed] = results.values(arm, budget, "density")[seed]
        return found

    def __str__(self) -> str:
        others = ", ".join(self.others)
        return f"(b) on some task {self.arm} is within {self.margin:g} nats of dense at a lower density than {others}"


@dataclass(frozen=True)
class BreaksAlone(Rule):
    """Some method is more than `margin` nats worse than dense on a task, where the others of its phase are not."""

    phases: Mapping[str, tuple[str, ...]]
    tasks: tuple[str, ...]
    at: tuple[float, ...]
    margin: float = 0.1

    def judge(self, results: Results) -> Judgement:
        found, shown = [], UNKNOWN
        for arms in self.phases.values():
            for task in self.tasks:
                for budget in self.at:
                    there = [arm for arm in arms if reached(results, arm, budget)]
                    worse = {a: results.versus(a, results.dense(), budget, f"nll:{task}") for a in there}
                    broken = [a for a in there if worse[a].low > self.margin and worse[a].n >= MINIMUM_SEEDS]
                    whole = [a for a in there if worse[a].high <= self.margin]
                    if len(broken) == 1 and len(whole) == len(there) - 1 > 0:
                        shown = worse[broken[0]]
                        found.append(f"{broken[0]} on {task} at {budget:g}: {shown.mean:+.2f} nats, {', '.join(whole)} hold")
        verdict: Verdict = "confirmed" if found else "inconclusive"
        return Judgement(verdict, shown, "\n".join([*found, f"(c) a method breaks where others hold -> {verdict}"]))

    def __str__(self) -> str:
        return f"(c) some method is over {self.margin:g} nats worse than dense where the others of its phase are not"


@dataclass(frozen=True)
class BeatTwins(Rule):
    """Every method beats its random twin at equal density, on tasks where dense attention does: elsewhere less is more."""

    twins: Mapping[str, str]
    """Method -> its twin."""
    tasks: tuple[str, ...]
    at: tuple[float, ...]

    def judge(self, results: Results) -> Judgement:
        lines, weakest = [], UNKNOWN
        for task in self.tasks:
            for arm, twin in self.twins.items():
                for budget in self.at:
                    if not (reached(results, arm, budget) and reached(results, twin, budget)):
                        continue
                    if results.versus(results.dense(), twin, budget, f"nll:{task}").high >= 0:
                        lines.append(f"{task} at {budget:g}: dense does not beat {twin} either; not judged")
                        continue
                    effect = results.versus(arm, twin, budget, f"nll:{task}")
                    if effect.low == effect.high == 0:
                        lines.append(f"{task} at {budget:g}: what {arm} always keeps leaves it nothing to choose; not judged")
                        continue
                    lines.append(
                        f"{arm} - {twin} on {task} at {budget:g}: {effect.mean:+.3f} [{effect.low:.3f}, {effect.high:.3f}]"
                    )
                    if math.isnan(weakest.mean) or not effect.high <= weakest.high:
                        weakest = effect
        verdict: Verdict = "confirmed" if weakest.n >= MINIMUM_SEEDS and weakest.high < 0 else "inconclusive"
        return Judgement(verdict, weakest, "\n".join([*lines, f"(d) every method beats its twin -> {verdict}"]))

    def __str__(self) -> str:
        return "(d) every method beats its random twin at equal density, on tasks where dense attention does"


@dataclass(frozen=True)
class NoneDominates(Rule):
    """Refuted where in every phase the same method is best on every task at every budget."""

    phases: Mapping[str, tuple[str, ...]]
    tasks: tuple[str, ...]
    at: tuple[float, ...]

    def judge(self, results: Results) -> Judgement:
        lines, alone = [], True
        for phase, arms in self.phases.items():
            best = set()
            for budget in self.at:
                there = [arm for arm in arms if reached(results, arm, budget)]
                if len(there) > 1:
                    best |= {_best(results, there, budget, task) for task in self.tasks}
            alone = alone and len(best) == 1
            lines.append(f"best somewhere in {phase}: {', '.join(sorted(best)) or 'nobody could be compared'}")
        verdict: Verdict = "refuted" if alone else "confirmed"
        return Judgement(verdict, UNKNOWN, "\n".join([*lines, f"no method is best everywhere -> {verdict}"]))

    def __str__(self) -> str:
        return "no method is best on every task of every phase"


@dataclass(frozen=True)
class ChoiceMatters(Rule):
    """Refuted where `arm` is shown to beat `twin` on no task at no budget, though dense attention does on some."""

    arm: str
    twin: str
    tasks: tuple[str, ...]
    at: tuple[float, ...]

    def judge(self, results: Results) -> Judgement:
        effects = [results.versus(self.arm, self.twin, b, f"nll:{t}") for t in self.tasks for b in self.at]
        largest = min(effects, key=lambda effect: effect.mean)
        dense = [results.versus(results.dense(), self.twin, b, f"nll:{t}") for t in self.tasks for b in self.at]
        verdict: Verdict = "confirmed" if any(effect.high < 0 for effect in effects) else "refuted"
        if largest.n < MINIMUM_SEEDS or all(effect.high >= 0 for effect in dense):  # a model without use for its context
            verdict = "inconclusive"
        said = f"{self.arm} - {self.twin} at best: {largest.mean:+.3f} [{largest.low:.3f}, {largest.high:.3f}] -> {verdict}"
        return Judgement(verdict, largest, said)

    def __str__(self) -> str:
        return f"{self.arm} beats {self.twin} somewhere"
