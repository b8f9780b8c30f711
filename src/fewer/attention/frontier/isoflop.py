"""Quality against all FLOPs, over model sizes: is a large sparse model better than a small dense one at equal cost?"""

from collections.abc import Iterable
from typing import NamedTuple

from fewer.compare.result import Results
from fewer.compare.task import Direction
from fewer.measure.statistics import pareto_front


class Spent(NamedTuple):
    """One arm of one model at one length."""

    model: str
    length: int
    arm: str
    density: float
    flops: float
    """A sample: linear layers, attention over what is kept, and what the estimator costs."""
    quality: float
    front: bool
    """No other arm of any model is better and cheaper, at this length."""


def isoflop(found: Iterable[Results], measure: str, leave_out: tuple[str, ...] = ()) -> list[Spent]:
    """Every arm of every model, the cheapest first at each length. Oracles belong in `leave_out`."""
    spent: list[Spent] = []
    better: Direction = "lower"
    for results in found:
        task, better = results.configuration["task"], results.quality[measure]
        recipe = task.get("recipe")
        model = f"{recipe['hidden']} wide" if recipe else task["model"]
        for arm, facts in results.arms.items():
            for budget in [1.0] if facts.kind == "dense" else results.budgets:
                if arm not in leave_out and results.of(arm, budget):
                    density, flops, quality = (results.summary(arm, budget, m).mean for m in ("density", "flops", measure))
                    spent.append(Spent(model, task["length"], arm, density, flops, quality, False))
    done = []
    for length in dict.fromkeys(s.length for s in spent):
        here = sorted((s for s in spent if s.length == length), key=lambda s: s.flops)
        front = pareto_front([(s.flops, s.quality) for s in here], ("lower", better))
        done += [s._replace(front=i in front) for i, s in enumerate(here)]
    return done
