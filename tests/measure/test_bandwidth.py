import pytest

from fewer.errors import MeasureError
from fewer.measure import bandwidth, limit_share


@pytest.fixture
def limits(monkeypatch):
    monkeypatch.setattr(bandwidth, "read_bandwidth", lambda: 10e9)
    monkeypatch.setattr(bandwidth, "multiply_add_rate", lambda: 100e9)


@pytest.mark.usefixtures("limits")
def test_the_limit_is_the_slower_of_reading_and_multiplying():
    assert limit_share(1.0, bytes_moved=5e9) == 0.5
    assert limit_share(1.0, flops=25e9) == 0.25
    assert limit_share(1.0, bytes_moved=5e9, flops=75e9) == 0.75


@pytest.mark.parametrize(("seconds", "moved"), [(0, 1), (-1.0, 1), (float("nan"), 1), (1.0, 0)])
def test_a_share_of_nothing_is_an_error(seconds, moved):
    with pytest.raises(MeasureError):
        limit_share(seconds, bytes_moved=moved)


def test_rates_are_plausible_and_measured_once(monkeypatch):
    monkeypatch.setattr(bandwidth, "last_cache_bytes", lambda: 2**20)
    bandwidth._read_bandwidth.cache_clear()
    bandwidth._multiply_add_rate.cache_clear()
    first = bandwidth.read_bandwidth(), bandwidth.multiply_add_rate()
    assert 1e8 < first[0] < 1e13
    assert 1e9 < first[1] < 1e15
    assert first == (bandwidth.read_bandwidth(), bandwidth.multiply_add_rate())
    bandwidth._read_bandwidth.cache_clear()  # later callers must see the real cache size
