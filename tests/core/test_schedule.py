import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewer.core import Constant, Cosine, Cubic, Decay, Linear, Steps
from fewer.errors import BudgetError, ScheduleError

MOVING = [Linear, Cubic, Cosine, Steps, Decay]


@pytest.mark.parametrize("kind", MOVING)
def test_a_schedule_is_flat_before_it_begins_and_after_it_finishes(kind):
    schedule = kind(start=0.9, end=0.2, begin=10, finish=30)
    assert [schedule.at(step) for step in (0, 9, 10)] == [0.9] * 3
    assert [schedule.at(step) for step in (30, 31, 10_000)] == [0.2] * 3


@pytest.mark.parametrize(
    ("schedule", "middle"),
    [
        (Linear(1.0, 0.2, 10, 30), 0.6),
        (Cubic(1.0, 0.2, 10, 30), 1 - 0.8 * 7 / 8),
        (Cosine(1.0, 0.2, 10, 30), 0.6),
        (Steps(1.0, 0.2, 10, 30, stages=4), 1 - 0.8 * 3 / 4),
        (Decay(1.0, 0.2, 10, 30, rate=0.01), 1 - 0.8 * 0.9),
        (Constant.of(0.3), 0.3),
    ],
)
def test_halfway_each_schedule_is_where_its_formula_says(schedule, middle):
    assert schedule.at(20) == pytest.approx(middle)


@given(
    kind=st.sampled_from(MOVING),
    start=st.floats(0, 1),
    end=st.floats(0, 1),
    begin=st.integers(0, 20),
    length=st.integers(0, 30),
)
def test_a_schedule_moves_from_start_to_end_without_turning_back(kind, start, end, begin, length):
    schedule = kind(start=start, end=end, begin=begin, finish=begin + length)
    values = [schedule.at(step) for step in range(begin + length + 3)]
    ordered = sorted(values, reverse=start > end)
    assert values == pytest.approx(ordered, abs=1e-12)
    assert values[-1] == end and (begin == 0 or values[0] == start)
    assert all(min(start, end) - 1e-12 <= v <= max(start, end) + 1e-12 for v in values)


def test_a_schedule_of_no_length_jumps_at_its_only_step():
    assert [Linear(1.0, 0.5, 5, 5).at(step) for step in (3, 4, 5, 6)] == [1.0, 1.0, 0.5, 0.5]


def test_stages_are_equal_jumps_that_reach_the_end_before_the_finish():
    schedule = Steps(1.0, 0.0, 0, 8, stages=2)
    assert [schedule.at(step) for step in range(9)] == [1.0, 0.5, 0.5, 0.5, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        (Linear(begin=2, finish=9, every=3), [2, 5, 8, 9]),
        (Linear(begin=2, finish=8, every=3), [2, 5, 8]),
        (Linear(begin=0, finish=2), [0, 1, 2]),
        (Linear(begin=4, finish=4, every=100), [4]),
        (Constant.of(0.5), [0]),
    ],
)
def test_a_selection_is_renewed_at_every_nth_step_and_at_the_finish(schedule, due):
    assert [step for step in range(20) if schedule.due(step)] == due


def test_steps_before_the_first_do_not_exist():
    with pytest.raises(ScheduleError, match="at least 0, not -1"):
        Linear().at(-1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"begin": 5, "finish": 4},
        {"begin": -1},
        {"every": 0},
    ],
)
def test_steps_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ScheduleError, match="0 <= begin <= finish"):
        Cubic(**wrong)


@pytest.mark.parametrize("wrong", [{"start": 1.1}, {"end": -0.1}])
def test_densities_out_of_range_are_refused(wrong):
    with pytest.raises(BudgetError):
        Cubic(**wrong)


def test_parameters_of_their_own_are_checked_too():
    with pytest.raises(ScheduleError, match="at least 1 stage"):
        Steps(stages=0)
    with pytest.raises(ScheduleError, match="decay rate"):
        Decay(rate=1.0)
    with pytest.raises(ScheduleError, match="one density"):
        Constant(start=0.5, end=0.4)
