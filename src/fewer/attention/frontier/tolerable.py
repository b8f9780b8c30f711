"""The highest sparsity at which a method is not shown to be worse than dense attention."""

from typing import NamedTuple

import numpy as np

from fewer.compare.result import Results
from fewer.measure.statistics import holm

RESAMPLES = 9999


class Tolerable(NamedTuple):
    """Of one arm on one measure."""

    arm: str
    measure: str
    sparsity: float | None
    """1 - the density reached, the largest at which neither it nor a lower one is rejected; 0 where all are, None where the
    samples are too few to reject anything."""
    densities: list[float]
    """As reached, ascending."""
    p_values: list[float]
    """At each of them, corrected by Holm over all arms and densities of the measure."""


def tolerable(results: Results, measure: str, level: float = 0.05, margin: float = 0.0) -> list[Tolerable]:
    """For every arm: a one-sided paired test of signs flipped at random, over samples, that it is worse by more than `margin`.

    Not rejected does not mean as good: with few samples much goes unseen. `measure` is one of `nll:TASK`, `right:TASK`.
    """
    sign = 1.0 if results.quality[measure] == "lower" else -1.0
    dense = _items(results, results.dense(), 1.0, measure)
    cells = [
        (arm, budget)
        for arm, facts in results.arms.items()
        if facts.kind != "dense"
        for budget in results.budgets
        if results.of(arm, budget)
    ]
    raw = [p_value(sign * (_items(results, arm, budget, measure) - dense) - margin) for arm, budget in cells]
    adjusted = dict(zip(cells, holm(raw), strict=True))
    smallest = max(0.5 ** len(dense), 1 / (RESAMPLES + 1)) * len(cells)
    found = []
    for arm in dict.fromkeys(arm for arm, _ in cells):
        reached = sorted((results.summary(arm, b, "density").mean, adjusted[arm, b]) for a, b in cells if a == arm)
        held = 0.0
        for density, p in reversed(reached):
            if p <= level:
                break
            held = 1 - density
        found.append(
            Tolerable(arm, measure, None if smallest > level else held, [d for d, _ in reached], [p for _, p in reached])
        )
    return found


def p_value(differences: np.ndarray) -> float:
    """Of a mean above 0, where each sign were as likely the other; exact for up to 13 differences."""
    from scipy.stats import permutation_test

    if not np.any(differences):
        return 1.0
    return float(
        permutation_test(
            (differences,),
            np.mean,
            permutation_type="samples",
            alternative="greater",
            n_resamples=RESAMPLES,
            vectorized=True,
            rng=np.random.default_rng(0),
        ).pvalue
    )


def _items(results: Results, arm: str, budget: float, measure: str) -> np.ndarray:
    """Each sample's value, seed after seed."""
    rows = sorted(results.of(arm, budget), key=lambda row: row.seed)
    return np.concatenate([row.detail["items"][measure] for row in rows])
