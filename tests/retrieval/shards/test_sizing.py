"""The sizing is arithmetic on what was measured; the page shows what it gives."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewer.errors import RetrievalError
from fewer.retrieval.shards.sizing import MEASURED, SIZES, Machine, Measured, size, table

LINE = Measured(fixed_us=100, us_per_million=1000, tail=2, index_bytes=500, text_bytes=1500, build_us=10)
PAGE = Path(__file__).parents[3] / "docs" / "sizing.md"


def test_the_page_has_the_table_of_the_measured_constants():
    assert table([size(documents, MEASURED) for documents in SIZES]) in PAGE.read_text(encoding="utf-8")


def test_a_line_is_found_again_from_its_points():
    fitted = Measured.fit({n: LINE.us(n) for n in (50_000, 200_000, 2_000_000)}, 2, 500, 1500, 10)
    assert (fitted.fixed_us, fitted.us_per_million) == pytest.approx((100, 1000))


def test_times_that_rise_faster_than_a_line_have_no_negative_fixed_part():
    fitted = Measured.fit({10**5: 10, 10**6: 200}, 2, 1, 1, 1)
    assert fitted.fixed_us == 0 and 100 < fitted.us_per_million < 200


def test_one_machine_by_hand():
    machine = Machine(cores=4, memory_bytes=2**40, disk_bytes=1e15)
    # 4.9 ms for 4.9 million documents a shard: 8 million take two shards, and the machine's four cores share them.
    sized = size(8_000_000, LINE, machine, shard_ms=5)
    assert (sized.shards, sized.machines, sized.limit) == (4, 1, "cores")
    mean = 100 + 2 * 1000
    assert sized.mean_ms == pytest.approx(mean * (1 + 0.30103) / 1000, rel=1e-4)
    assert sized.queries_per_second == pytest.approx(1e6 / mean)
    assert (sized.index_bytes, sized.build_hours) == (4e9, pytest.approx(20 / 3600))


def test_memory_and_disk_set_the_number_of_machines_where_they_are_short():
    assert size(10**9, LINE, Machine(memory_bytes=10**10, memory_share=0.5))[2:4] == (100, "memory")
    assert size(10**9, LINE, Machine(disk_bytes=10**10, memory_bytes=1e15))[2:4] == (200, "disk")
    assert size(10**9, LINE, Machine(disk_bytes=10**10, memory_bytes=1e15, copies=2)).machines == 400


def test_asking_over_a_tree_costs_a_level_for_each_power_of_the_fan_out():
    machine = Machine(hop_us=100, ask_us=9, merge_us=1, fan_out=10)
    assert [machine.spread_us(count) for count in (1, 10, 100, 1000)] == [0, 200, 400, 600]


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_more_documents_never_take_fewer_machines(one, other):
    few, many = sorted((one, other))
    assert size(few, LINE).machines <= size(many, LINE).machines


def test_what_cannot_be_sized_says_why():
    with pytest.raises(RetrievalError, match=r"above 0\.1 ms"):
        size(10, LINE, shard_ms=0.1)
    with pytest.raises(RetrievalError, match="1 document or more"):
        size(0, LINE)
    for times in ({10: 1.0}, {10: 1.0, 20: 0.0}, {10: 2.0, 20: 1.0, 40: 0.1}):
        with pytest.raises(RetrievalError):
            Measured.fit(times, 1, 1, 1, 1)
