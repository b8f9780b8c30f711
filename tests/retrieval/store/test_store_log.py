"""The log gives back every whole record, drops a torn last one, and tells damage from a crash."""

import errno
import os

import numpy as np
import pytest
from small_store import add, create, everything

from fewer.errors import IndexFileError
from fewer.retrieval.store.log import Log, read_log
from fewer.retrieval.store.store import Store

RECORD = {"numbers": np.arange(10)}


@pytest.fixture
def log(tmp_path):
    log = Log.create(tmp_path / "log")
    for _ in range(3):
        log.append("add", RECORD)
    yield log
    log.close()


def test_records_come_back_in_order(log):
    log.append("delete", {"x": np.zeros(0, np.int32)})
    read = read_log(log.path)
    assert [record.kind for record in read.records] == ["add", "add", "add", "delete"] and (read.end, read.torn) == (log.end, 0)
    np.testing.assert_array_equal(read.records[1].arrays["numbers"], RECORD["numbers"])


def test_a_record_cut_at_any_byte_is_dropped_and_the_others_stay(log):
    content = log.path.read_bytes()
    end = log.end
    size = (end - 32) // 3
    for cut in range(end - size, end):
        log.path.write_bytes(content[:cut])
        read = read_log(log.path)
        assert (len(read.records), read.torn) == (2, cut - (end - size))


def test_a_torn_record_of_zeros_is_dropped(log):
    log.path.write_bytes(log.path.read_bytes() + bytes(300))
    assert (len(read_log(log.path).records), read_log(log.path).torn) == (3, 300)


@pytest.mark.parametrize("at", [32, 50, 60, 100, 400])
def test_damage_before_the_last_record_is_an_error_not_a_loss(log, at):
    content = bytearray(log.path.read_bytes())
    content[at] ^= 1
    log.path.write_bytes(content)
    with pytest.raises(IndexFileError, match=r"damaged at byte .* after \d records, and whole ones follow"):
        read_log(log.path)


def test_a_full_disk_takes_the_record_back_and_the_log_goes_on(log, monkeypatch):
    real = os.fsync

    def full(handle):
        monkeypatch.setattr(os, "fsync", real)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IndexFileError, match="No space left on device"):
        log.append("add", RECORD)
    assert len(read_log(log.path).records) == 3
    log.append("add", RECORD)
    assert len(read_log(log.path).records) == 4


def test_a_log_that_cannot_be_mended_takes_nothing_more(log, monkeypatch):
    def gone(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", gone)
    with pytest.raises(IndexFileError):
        log.append("add", RECORD)
    monkeypatch.undo()
    with pytest.raises(IndexFileError, match="Close the store and open it again"):
        log.append("add", RECORD)


def test_a_store_reports_what_a_crash_tore_off(tmp_path):
    with create(tmp_path / "s") as store:
        add(store, {"a": {0: 1.0}})
        add(store, {"b": {0: 2.0}})
    [path] = (tmp_path / "s").glob("*.log")
    path.write_bytes(path.read_bytes()[:-5])
    with Store.open(tmp_path / "s", read_only=True) as reader:
        assert everything(reader) == {"a": 1.0} and reader.torn > 0
    with Store.open(tmp_path / "s") as again:
        assert everything(again) == {"a": 1.0} and again.describe()["torn_bytes"] > 0
        add(again, {"c": {0: 4.0}})
    with Store.open(tmp_path / "s") as again:
        assert everything(again) == {"a": 1.0, "c": 4.0} and again.torn == 0


def test_another_file_is_no_log(tmp_path):
    (tmp_path / "x").write_text("hello")
    with pytest.raises(IndexFileError, match="no log"):
        read_log(tmp_path / "x")
