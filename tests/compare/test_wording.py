import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewer.compare.wording import estimate, kept, number, scale

numbers = st.floats(-1e15, 1e15, allow_nan=False)


def read(shown: str) -> float:
    return float(shown.replace("\u2212", "-"))


@given(numbers)
def test_a_number_reads_back_to_within_five_percent(value):
    assert math.isclose(read(number(value)), value, rel_tol=0.05)


@given(numbers, st.floats(0, 1e15))
def test_an_estimate_is_wrong_by_less_than_its_own_interval_or_five_percent(mean, half):
    shown, spread = estimate(mean, half, sign=True)
    assert abs(read(shown) - mean) <= max(half, 0.05 * abs(mean))
    assert not spread or math.isclose(float(spread[1:]), half, rel_tol=0.06)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(15.2, "15.2"), (41_000.0, "4.1e+04"), (0.0, "0"), (0.8731, "0.8731"), (-3e-5, "\u22123.0e-05"), (None, "unknown")],
)
def test_numbers_are_short(value, shown):
    assert number(value) == shown


def test_what_is_no_finite_number_is_a_word():
    assert number(math.inf) == "infinite"
    assert number(-math.inf, sign=True) == "\u2212infinite"
    assert number(math.nan) == "unknown"
    assert estimate(math.inf, math.nan) == ("infinite", "")


def test_a_mean_takes_the_digits_of_its_interval():
    assert estimate(20.1234, 0.4217) == ("20.12", "±0.42")
    assert estimate(41_000.0, 2_000.0) == ("4.1e+04", "±2.0e+03")
    assert estimate(-0.00001, 0.02, sign=True) == ("\u22120.000", "±0.020")
    assert estimate(0.4, 1.7e-16) == ("0.4", "")


@pytest.mark.parametrize(
    ("measure", "values", "title", "unit", "first"),
    [
        ("latency_ms", [41.0, 39.0], "latency", "ms", 41.0),
        ("latency_ms", [4100.0, 3900.0], "latency", "s", 4.1),
        ("bytes_stored", [2.69e8], "bytes stored", "MB", 269.0),
        ("flops_active", [2.7e12], "flops active", "TFLOP", 2.7),
        ("seconds_prune", [0.0, 61.0, 14.0], "prune", "s", 0.0),
        ("seconds", [7200.0], "seconds", "h", 2.0),
        ("tokens_read", [4096.0], "tokens read", "thousand", 4.096),
        ("perplexity", [15.0], "perplexity", "", 15.0),
        ("bytes_stored", [], "bytes stored", "B", None),
    ],
)
def test_a_measure_is_shown_in_the_unit_that_fits_its_values(measure, values, title, unit, first):
    found = scale(measure, values)
    assert (found.title, found.unit) == (title, unit)
    assert first is None or values[0] * found.factor == pytest.approx(first)


def test_a_density_is_told_as_sparsity_too():
    assert kept(0.05) == "5% kept, 95% sparsity"
    assert kept(1.0) == "100% kept, 0% sparsity"
    assert kept(0.001) == "0.1% kept, 99.9% sparsity"
