"""Means with intervals, paired differences and the quality-cost front."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from fewer.errors import MeasureError

K = TypeVar("K", bound=Hashable)

_DRAWS_AT_ONCE = 4_000_000  # 32 MB of float64 a chunk


class Interval(NamedTuple):
    """An estimate and how far it can be trusted."""

    mean: float
    """The estimate; for `bootstrap_interval` the statistic, for a log-scale difference the geometric mean ratio."""
    low: float
    """Lower limit; NaN when the spread is unknown."""
    high: float
    """Upper limit; NaN when the spread is unknown."""
    n: int
    """How many values (pairs, windows, rounds) it rests on."""


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean and Student's t interval with n - 1 degrees of freedom: for a few independent seeds.

    One value says nothing of its spread: its limits are NaN, not a zero width. So are those of values that hold an
    infinity, whose mean is infinite.

    Raises:
        MeasureError: no values, a NaN among them, or a level outside (0, 1).
    """
    from scipy.stats import t

    array = _checked(values, level)
    mean = _mean(array)
    if array.size == 1 or not math.isfinite(mean):
        return Interval(mean, math.nan, math.nan, array.size)
    half = float(t.ppf((1 + level) / 2, array.size - 1)) * float(array.std(ddof=1)) / math.sqrt(array.size)
    return Interval(mean, mean - half, mean + half, array.size)


def bootstrap_interval(
    values: Sequence[float],
    statistic: Callable[..., Any] = np.mean,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap of any statistic: for tens of windows, queries or rounds.

    The percentile form is taken because it is defined for every sample (the bias-corrected one is not where all values
    are equal) and keeps the interval inside the statistic's range. It is too narrow below about ten values: use
    `t_interval` for seeds. One value, or an infinite one, gives NaN limits, as there.

    Args:
        statistic: reduces the last axis, called as `statistic(array, axis=-1)`: `np.mean`, `np.median`, ...

    Raises:
        MeasureError: no values, a NaN among them, a level outside (0, 1), or no resamples.
    """
    array = _checked(values, level)
    if resamples < 1:
        raise MeasureError(f"resamples is {resamples}; give at least 1 (10,000 is usual).")
    if not np.isfinite(array).all():
        return Interval(_mean(array), math.nan, math.nan, array.size)
    estimate = float(statistic(array, axis=-1))
    if array.size == 1:
        return Interval(estimate, math.nan, math.nan, 1)
    rng = np.random.default_rng(seed)
    step = max(1, _DRAWS_AT_ONCE // array.size)
    draws = np.concatenate(
        [
            statistic(array[rng.integers(array.size, size=(min(step, resamples - done), array.size))], axis=-1)
            for done in range(0, resamples, step)
        ]
    )
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), array.size)


def paired_difference(a: Mapping[K, float], b: Mapping[K, float], log: bool = False, level: float = 0.95) -> Interval:
    """Mean of a - b over the keys (seeds) that both have, with its t interval.

    Pairing by seed removes what the seed alone does to both arms. `n` says how many pairs there were. Where both values
    of a pair are infinite the difference is unknown: all three numbers are NaN.

    Args:
        log: compare on the log scale and report the ratio a / b (geometric mean; 1 = equal), as fits perplexity,
            time and bytes. All values must then be positive.

    Raises:
        MeasureError: no shared key, a NaN, or a value that is not positive on the log scale.
    """
    shared = [key for key in a if key in b]
    if not shared:
        raise MeasureError(f"no shared keys to pair: one side has {list(a)}, the other {list(b)}. Run both on one seed.")
    pairs = np.array([[a[key], b[key]] for key in shared], dtype=np.float64)
    _checked(pairs.ravel(), level)
    if log:
        if (pairs <= 0).any():
            raise MeasureError(f"ratios need positive values; the smallest is {pairs.min()}. Use log=False.")
        pairs = np.log(pairs)
    if (np.isinf(pairs).all(axis=1) & (pairs[:, 0] == pairs[:, 1])).any():
        return Interval(math.nan, math.nan, math.nan, len(shared))
    interval = t_interval((pairs[:, 0] - pairs[:, 1]).tolist(), level)
    if not log:
        return interval
    middle, low, high = np.exp(interval[:3]).tolist()
    return Interval(middle, low, high, len(shared))


def paired_p_value(a: Mapping[K, float], b: Mapping[K, float]) -> float:
    """Two-sided p value of the paired t test that a - b is 0 on average, over the keys that both have.

    Where all differences are the same, the test has no spread to go by: 1 if they are 0, else 0. NaN for a single pair or
    where a difference is not finite.

    Raises:
        MeasureError: no shared key, or a NaN.
    """
    from scipy.stats import t

    low, high = (paired_difference(a, b)[i] for i in (1, 2))
    differences = np.array([a[key] - b[key] for key in a if key in b], dtype=np.float64)
    if differences.size < 2 or not math.isfinite(low + high):
        return math.nan
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    if spread == 0:
        return float(mean == 0)
    return float(2 * t.sf(abs(mean) / spread * math.sqrt(differences.size), differences.size - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values (Holm 1979): comparing each with a level keeps the chance of any false alarm among all below it.

    The smallest of m is multiplied by m, the next by m - 1, ...; none may fall below one before it. A NaN stays one, and
    counts as a test.
    """
    order = sorted(range(len(p_values)), key=lambda i: (math.isnan(p_values[i]), p_values[i]))
    adjusted, highest = [math.nan] * len(p_values), 0.0
    for rank, i in enumerate(order):
        if not math.isnan(p_values[i]):
            highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
            adjusted[i] = highest
    return adjusted


def pareto_front(points: Sequence[Sequence[float]], better: Sequence[Literal["higher", "lower"]]) -> list[int]:
    """Indices of the points that no other point beats: at least as good in every coordinate and better in one.

    Equal points stand together. A point with a NaN is never on the front and beats nothing.

    Args:
        points: one row a point, such as (accuracy, seconds).
        better: for each coordinate which way is better, such as ("higher", "lower").

    Raises:
        MeasureError: rows and `better` differ in length, or a direction is not "higher" or "lower".
    """
    if unknown := set(better) - {"higher", "lower"}:
        raise MeasureError(f'better has {sorted(unknown)}; each coordinate is "higher" or "lower".')
    if wrong := [row for row in points if len(row) != len(better)]:
        raise MeasureError(f"the point {tuple(wrong[0])} has {len(wrong[0])} coordinates; better names {len(better)}.")
    signs = np.array([1.0 if way == "higher" else -1.0 for way in better])
    gains = np.array(points, dtype=np.float64).reshape(-1, len(better)) * signs
    known = ~np.isnan(gains).any(axis=1)
    return [
        i
        for i in np.flatnonzero(known).tolist()
        if not ((gains >= gains[i]).all(axis=1) & (gains > gains[i]).any(axis=1)).any()
    ]


def _checked(values: Any, level: float) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise MeasureError(f"an interval needs a list of at least one value, not one of shape {array.shape}.")
    if np.isnan(array).any():
        raise MeasureError(f"value {int(np.isnan(array).argmax())} of {array.size} is NaN: find the run that gave it.")
    if not 0 < level < 1:
        raise MeasureError(f"level is {level}; it lies between 0 and 1, such as 0.95.")
    return array


def _mean(array: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):  # inf - inf is NaN: unknown, as it should be
        return float(array.mean())
