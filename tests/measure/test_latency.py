import gc
import time

import numpy as np
import pytest
import torch

from fewer.errors import MeasureError
from fewer.measure import Rotation, Timing, interleaved, last_cache_bytes, ratio


def test_every_candidate_runs_once_a_round_in_changing_order():
    calls = []
    interleaved({name: lambda name=name: calls.append(name) for name in "abc"}, repeats=20, warmup=2)
    rounds = ["".join(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert len(rounds) == 22
    assert all(sorted(done) == ["a", "b", "c"] for done in rounds)
    assert len(set(rounds)) > 3


def test_the_order_repeats_with_its_seed():
    def order(seed):
        calls = []
        interleaved({name: lambda name=name: calls.append(name) for name in "abc"}, repeats=5, seed=seed)
        return calls

    assert order(1) == order(1) != order(2)


def test_times_are_those_of_the_call():
    timing = interleaved({"sleep": lambda: time.sleep(0.004)}, repeats=5, warmup=0)["sleep"]
    assert len(timing.samples) == 5
    assert min(timing.samples) >= 0.004
    assert timing.low <= timing.median <= timing.high
    assert timing.threads == torch.get_num_threads()


def test_a_spent_budget_still_gives_one_round():
    calls = []
    timings = interleaved({"a": lambda: calls.append(1), "b": lambda: None}, repeats=50, budget_seconds=0)
    assert len(timings["a"].samples) == len(timings["b"].samples) == 1
    assert len(calls) == 1


def test_the_budget_ends_the_rounds():
    timing = interleaved({"a": lambda: time.sleep(0.01)}, repeats=1000, warmup=0, budget_seconds=0.05)["a"]
    assert 1 <= len(timing.samples) <= 6


def test_the_garbage_collector_comes_back_also_when_a_candidate_raises():
    with pytest.raises(ZeroDivisionError):
        interleaved({"bad": lambda: 1 / 0})
    assert gc.isenabled()


def test_the_ratio_pairs_rounds_so_that_a_slow_spell_cancels():
    ours = tuple(np.where(np.arange(20) < 10, 1.0, 7.0))
    timing = Timing(0, 0, 0, ours, 1)
    peer = Timing(0, 0, 0, tuple(2 * s for s in ours), 1)
    assert ratio(peer, timing) == (2.0, 2.0, 2.0, 20)


def test_timings_of_different_runs_have_no_ratio():
    with pytest.raises(MeasureError, match="3 rounds against 2"):
        ratio(Timing(1, 1, 1, (1.0,) * 3, 1), Timing(1, 1, 1, (1.0,) * 2, 1))


@pytest.mark.parametrize("arguments", [{"candidates": {}}, {"candidates": {"a": int}, "repeats": 0}])
def test_nothing_to_time_is_an_error(arguments):
    with pytest.raises(MeasureError):
        interleaved(**arguments)


@pytest.mark.parametrize("touched", [1000, 999, 64, 5000])
def test_more_than_the_cache_is_touched_before_a_copy_comes_again(touched):
    rotation = Rotation(np.zeros(1), touched_bytes=touched, cache_bytes=4000, margin=1.5)
    first = next(rotation)
    between = 0
    while next(rotation) is not first:
        between += touched
    assert 6000 <= between < 6000 + touched


def test_copies_are_equal_and_share_no_memory():
    rotation = Rotation((torch.arange(4), np.arange(3)), touched_bytes=10, cache_bytes=40, margin=1)
    (a, b), (c, d) = next(rotation), next(rotation)
    assert torch.equal(a, c) and a.data_ptr() != c.data_ptr()
    assert (b == d).all() and not np.shares_memory(b, d)
    assert len({x.data_ptr() for x, _ in rotation.copies}) == len(rotation) == 5


def test_copies_beyond_the_free_memory_are_refused_before_they_are_made():
    with pytest.raises(MeasureError, match="cache_bytes"):
        Rotation(np.zeros(1), touched_bytes=2**20, cache_bytes=2**60, copy=lambda _: pytest.fail("copied"))


def test_operands_that_are_not_touched_are_an_error():
    with pytest.raises(MeasureError, match="touched_bytes"):
        Rotation(np.zeros(1), touched_bytes=0, cache_bytes=100)


def test_the_last_cache_is_of_a_plausible_size():
    assert 2**18 <= last_cache_bytes() <= 2**34
