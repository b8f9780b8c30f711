"""A claim: the sentence a paper stands for, the comparison that tests it, and the rule that decides."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fewer.compare.beside import beside
from fewer.compare.comparison import Comparison, Progress
from fewer.compare.result import Results, finite
from fewer.compare.rules import Judgement, Rule
from fewer.compare.task import Task
from fewer.core.method import Method
from fewer.errors import MethodError
from fewer.measure.statistics import Interval

Scale = Literal["smoke", "small", "paper"]


@dataclass(frozen=True)
class Setting:
    """How a claim is run at one scale."""

    task: Callable[[], Task]
    """Called when the run begins, so that listing claims loads no data."""
    budgets: Sequence[float]
    seeds: int = 3
    arms: Mapping[str, Method] | None = None
    """In place of the claim's own, where a scale needs others."""


@dataclass(frozen=True)
class Claim:
    """See the module's docstring. `method` names the arm that stands for the system; `dense` and `random` its baselines."""

    system: str
    says: str
    paper: str
    """The paper's headline figure, with its source."""
    arms: Mapping[str, Method]
    settings: Mapping[str, Setting]
    rule: Callable[[Setting], Rule]
    """The rule for a setting (its budgets); fixed in the code before any run."""
    method: str
    at: Callable[[Setting], float] = field(default=lambda setting: max(b for b in setting.budgets if b < 1))
    """The budget at which the effect is stated."""
    random: str = "random"
    dense: str = "dense"
    twins: Mapping[str, str] = field(default_factory=dict)
    """Random arm -> the arm whose twin it is, where that is not `random`."""
    judge: Callable[[Results, Judgement], Judgement] | None = None
    """Given what the rule says, the last word, where a claim is about more than the numbers of its rows."""
    beside: Callable[[Results], Sequence[str]] | None = None
    """What else a reader should see, a line each; it decides nothing."""
    versus: Callable[[Results, str, str, float], Interval] | None = None
    """The effect of an arm against another at a budget, where it varies with something other than seeds."""

    def setting(self, scale: str) -> Setting:
        """Raises MethodError for a scale that this claim does not have."""
        if scale not in self.settings:
            raise MethodError(f'{self.system} has no scale "{scale}"; allowed: {", ".join(self.settings)}.')
        return self.settings[scale]

    def comparison(self, scale: str, seeds: int | None = None, first_seed: int = 0) -> Comparison:
        """The comparison behind the claim at one scale; `seeds` and `first_seed` choose which seeds."""
        setting = self.setting(scale)
        count = setting.seeds if seeds is None else seeds
        if count < 1 or first_seed < 0:
            raise MethodError(f"a run needs at least 1 seed and a first seed of at least 0, not {count} from {first_seed}.")
        return Comparison(
            name=self.system,
            title=self.says,
            task=setting.task(),
            arms=setting.arms or self.arms,
            budgets=setting.budgets,
            seeds=range(first_seed, first_seed + count),
            twins=self.twins,
        )


@dataclass(frozen=True)
class Reproduction:
    """A claim's outcome. `to_dict` is the interface that other programs read."""

    claim: Claim
    scale: str
    rule: str
    results: Results
    judgement: Judgement
    effect: dict[str, Interval]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """slug, scale, claim, rule, verdict, rows, effect, paper, seconds, environment; infinite numbers become null."""
        rows = [
            {"arm": row.arm, "budget": row.budget, "seed": row.seed, "quality": row.quality, "cost": row.cost}
            for row in self.results.rows
        ]
        plain = {
            "slug": self.claim.system,
            "scale": self.scale,
            "claim": self.claim.says,
            "rule": self.rule,
            "verdict": self.judgement.verdict,
            "why": self.judgement.text.split("\n"),
            "data": self.results.data,
            "rows": rows,
            "effect": {name: {"mean": e.mean, "low": e.low, "high": e.high} for name, e in self.effect.items()},
            "effect_measure": self.results.primary,
            "paper": self.claim.paper,
            "seconds": self.seconds,
            "environment": self.results.environment,
        }
        return finite(plain)


def reproduce(
    claim: Claim,
    scale: str = "small",
    seeds: int | None = None,
    first_seed: int = 0,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> Reproduction:
    """Run a claim and judge it. With a folder the run resumes where it was cut off."""
    started = time.perf_counter()
    setting = claim.setting(scale)
    rule = claim.rule(setting)
    results = claim.comparison(scale, seeds, first_seed).run(folder, progress)
    judgement = rule.judge(results)
    if claim.judge is not None:
        judgement = claim.judge(results, judgement)
    if claim.beside is not None:
        judgement = beside(judgement, claim.beside(results))
    at = claim.at(setting)
    effect = {
        f"vs_{against}": claim.versus(results, claim.method, arm, at)
        if claim.versus
        else results.versus(claim.method, arm, at, results.primary)
        for against, arm in (("dense", claim.dense), ("random", claim.random))
        if arm in results.arms
    }
    return Reproduction(claim, scale, str(rule), results, judgement, effect, time.perf_counter() - started)
