import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fewer.errors import MeasureError
from fewer.measure import (
    Interval,
    bootstrap_interval,
    paired_difference,
    pareto_front,
    t_interval,
)
from fewer.measure.statistics import holm, paired_p_value

numbers = st.floats(-1e6, 1e6)
samples = st.lists(numbers, min_size=2, max_size=20)


@given(samples)
def test_the_t_interval_is_scipys(values):
    ours = t_interval(values)
    sem = stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=sem) if sem else (ours.mean,) * 2
    assert ours.n == len(values)
    assert np.allclose([ours.low, ours.high], [low, high], rtol=1e-9, atol=1e-6)


def test_the_t_interval_covers_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 4))
    intervals = [t_interval(row) for row in draws]
    assert 0.935 < np.mean([interval.low <= 3.0 <= interval.high for interval in intervals]) < 0.965


@pytest.mark.parametrize("interval", [t_interval, bootstrap_interval])
def test_one_value_has_unknown_limits_not_a_zero_width(interval):
    mean, low, high, n = interval([2.5])
    assert (mean, n) == (2.5, 1)
    assert math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize("interval", [t_interval, bootstrap_interval])
def test_an_infinite_value_makes_the_mean_infinite_and_the_limits_unknown(interval):
    mean, low, high, _ = interval([1.0, math.inf])
    assert mean == math.inf
    assert math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize("interval", [t_interval, bootstrap_interval])
@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0, 2.0]]])
def test_no_values_or_a_nan_is_an_error(interval, values):
    with pytest.raises(MeasureError):
        interval(values)


@settings(max_examples=25)
@given(st.lists(numbers, min_size=2, max_size=30), st.sampled_from([np.mean, np.median]))
def test_the_bootstrap_stays_inside_the_values_and_repeats_with_its_seed(values, statistic):
    first = bootstrap_interval(values, statistic, resamples=200)
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= first.low <= first.high <= max(values) + slack
    assert first == bootstrap_interval(values, statistic, resamples=200)


def test_the_bootstrap_agrees_with_scipys_percentile_method():
    values = np.random.default_rng(1).exponential(size=60)
    ours = bootstrap_interval(values)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=2).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.02)


def test_the_bootstrap_draws_in_chunks_as_many_as_asked(monkeypatch):
    monkeypatch.setattr("fewer.measure.statistics._DRAWS_AT_ONCE", 70)
    drawn = []

    def counting(array, axis):
        drawn.append(array.shape[0] if array.ndim == 2 else 0)
        return array.mean(axis)

    bootstrap_interval([1.0, 2.0, 4.0], counting, resamples=100)
    assert sum(drawn) == 100 and max(drawn) == 23


@given(st.dictionaries(st.integers(0, 9), numbers, min_size=2), numbers)
def test_a_shift_that_all_pairs_share_is_the_difference_with_no_width(values, shift):
    found = paired_difference({seed: value + shift for seed, value in values.items()}, values)
    assert found.n == len(values)
    assert np.allclose([found.mean, found.low, found.high], shift, atol=1e-6)


def test_pairing_uses_shared_seeds_only_and_in_any_order():
    found = paired_difference({2: 5.0, 1: 3.0, 9: 100.0}, {1: 2.0, 2: 4.0, 7: -100.0})
    assert found == Interval(1.0, 1.0, 1.0, 2)


@given(st.lists(st.floats(0.1, 1e3), min_size=2, max_size=8), st.floats(0.01, 100))
def test_the_log_scale_reports_a_ratio(values, factor):
    b = dict(enumerate(values))
    found = paired_difference({seed: value * factor for seed, value in b.items()}, b, log=True)
    assert np.allclose(found[:3], factor)


def test_two_infinite_values_differ_by_an_unknown_amount():
    assert all(math.isnan(x) for x in paired_difference({0: math.inf, 1: 2.0}, {0: math.inf, 1: 1.0})[:3])
    assert paired_difference({0: math.inf, 1: 2.0}, {0: 3.0, 1: 1.0}, log=True).mean == math.inf


@pytest.mark.parametrize(
    ("a", "b", "log"), [({1: 1.0}, {2: 1.0}, False), ({1: math.nan}, {1: 1.0}, False), ({1: 0.0}, {1: 1.0}, True)]
)
def test_pairs_that_cannot_be_compared_are_an_error(a, b, log):
    with pytest.raises(MeasureError):
        paired_difference(a, b, log=log)


coarse = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=15)


@given(coarse)
def test_the_front_is_what_nothing_beats(points):
    def beats(p, q):  # first lower is better, second higher
        return p[0] <= q[0] and p[1] >= q[1] and p != q

    front = pareto_front(points, better=("lower", "higher"))
    assert front == [i for i, q in enumerate(points) if not any(beats(p, q) for p in points)]


def test_a_point_with_a_nan_is_off_the_front_and_beats_nothing():
    assert pareto_front([(math.nan, 0.0), (1.0, 1.0), (2.0, math.inf)], better=("lower", "lower")) == [1]


@pytest.mark.parametrize("better", [("low", "higher"), ("lower",)])
def test_a_front_without_directions_is_an_error(better):
    with pytest.raises(MeasureError):
        pareto_front([(1.0, 2.0)], better=better)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=20))
def test_the_paired_p_value_is_scipys(pairs):
    a, b = ({i: pair[side] for i, pair in enumerate(pairs)} for side in (0, 1))
    differences = np.array([x - y for x, y in pairs])
    if differences.std() > 1e-6 * max(1.0, abs(differences.mean())):  # below, scipy warns of lost precision
        expected = stats.ttest_rel(*np.array(pairs).T).pvalue
        assert paired_p_value(a, b) == pytest.approx(expected, rel=1e-6)


def test_equal_differences_are_certain_and_one_pair_or_an_infinite_one_tells_nothing():
    assert paired_p_value({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}) == 1.0
    assert paired_p_value({0: 1.0, 1: 2.0}, {0: 0.5, 1: 1.5}) == 0.0
    assert math.isnan(paired_p_value({0: 1.0}, {0: 0.5}))
    assert math.isnan(paired_p_value({0: math.inf, 1: 1.0, 2: 2.0}, {0: 0.5, 1: 0.5, 2: 0.5}))


def test_holm_on_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.5, math.nan, 0.02])[2] == pytest.approx(0.06)
    assert math.isnan(holm([math.nan])[0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_values_and_bonferronis_and_keeps_their_order(raw):
    adjusted = holm(raw)
    assert all(p <= q <= min(1.0, len(raw) * p) + 1e-12 for p, q in zip(raw, adjusted, strict=True))
    assert all(adjusted[i] <= adjusted[j] for i in range(len(raw)) for j in range(len(raw)) if raw[i] < raw[j])
