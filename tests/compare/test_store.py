import json
import os
import signal
import subprocess
import sys
import time

import pytest

from fewer.compare.store import Store, key_of
from fewer.compare.task import Measurement
from fewer.errors import StoreError


def cell(value: float) -> Measurement:
    return Measurement({"accuracy": value}, {"latency_ms": 2 * value}, {"layers": [{"name": "fc", "shape": [2, 3]}]})


def filled(folder, count=3):
    with Store(folder) as store:
        for i in range(count):
            store.put(f"k{i}", cell(i), i / 10)
    return folder / "cells.jsonl"


def test_what_was_put_is_there_when_the_store_is_opened_again(tmp_path):
    filled(tmp_path / "a" / "b")
    with Store(tmp_path / "a" / "b") as store:
        assert len(store) == 3 and store.get("k2") == (cell(2), 0.2) and store.get("k3") is None
        store.put("k3", cell(3), 0.3)
        assert store.get("k3") == (cell(3), 0.3)
    with Store(tmp_path / "a" / "b") as store:
        assert len(store) == 4


def test_a_key_put_twice_has_its_last_value(tmp_path):
    filled(tmp_path)
    with Store(tmp_path) as store:
        store.put("k1", cell(9), 1.0)
    with Store(tmp_path) as store:
        assert store.get("k1") == (cell(9), 1.0) and len(store) == 3


def test_infinite_qualities_are_kept(tmp_path):
    with Store(tmp_path) as store:
        store.put("k", cell(float("inf")), 0.0)
    with Store(tmp_path) as store:
        assert store.get("k") == (cell(float("inf")), 0.0)


@pytest.mark.parametrize("cut", [1, 2, 20, 80])
def test_a_line_that_was_cut_off_is_dropped_and_written_over(tmp_path, cut):
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    with Store(tmp_path) as store:
        assert len(store) == 2 and store.get("k1") == (cell(1), 0.1)
        store.put("k2", cell(5), 0.0)
    with Store(tmp_path) as store:
        assert store.get("k2") == (cell(5), 0.0)
    assert len(path.read_text().splitlines()) == 3


def test_a_store_that_holds_only_a_cut_off_line_is_empty(tmp_path):
    (tmp_path / "cells.jsonl").write_bytes(b'{"key": "k0", "sec')
    with Store(tmp_path) as store:
        assert len(store) == 0


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{}",
        "null",
        "[1]",
        "not json",
        '{"key": "k", "seconds": 1}',
        '{"key": "k", "seconds": 1, "quality": {}, "cost": {}, "x": 1}',
        "\xff",
    ],
)
def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path, damage):
    path = filled(tmp_path)
    lines = path.read_bytes().split(b"\n")
    lines[1] = damage.encode("latin-1")
    path.write_bytes(b"\n".join(lines))
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"line 2 of .*cells\.jsonl is damaged\. Remove that line"), Store(tmp_path):
        pass
    assert path.read_bytes() == before
    lines.pop(1)
    path.write_bytes(b"\n".join(lines))
    with Store(tmp_path) as store:  # the lock was let go, and the advice works
        assert len(store) == 2


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path):
    with Store(tmp_path) as store:
        with pytest.raises(StoreError, match=r"another run is writing to .*--out"), Store(tmp_path):
            pass
        store.put("k", cell(1), 0.0)
    with Store(tmp_path) as store:
        assert len(store) == 1


def test_a_second_process_is_refused(tmp_path):
    code = f"from fewer.compare.store import Store\nwith Store({str(tmp_path)!r}): pass"
    with Store(tmp_path):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "another run is writing" in done.stderr


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"), Store(tmp_path / "file"):
        pass


WRITER = """
import sys
from fewer.compare.store import Store
from fewer.compare.task import Measurement
with Store(sys.argv[1]) as store:
    for i in range(10**9):
        store.put(f"k{i}", Measurement({"accuracy": float(i)}, {"bytes": 1.0}, {"text": "x" * 5000}), 0.0)
        print(i, flush=True)
"""


def test_a_kill_in_the_middle_costs_the_running_cell_at_most(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        for _ in range(20):
            writer.stdout.readline()
        time.sleep(0.02)
        writer.send_signal(signal.SIGKILL)
        said = [int(line) for line in writer.stdout.read().split()]
    reported = said[-1] + 1 if said else 20
    with Store(tmp_path) as store:
        assert reported <= len(store) <= reported + 1
        assert all(store.get(f"k{i}")[0].quality == {"accuracy": float(i)} for i in range(len(store)))
        store.put("more", cell(1), 0.0)


FULL = """
import resource, sys
from fewer.compare.store import Store
from fewer.compare.task import Measurement
from fewer.errors import StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
with Store(sys.argv[1]) as store:
    for i in range(100):
        try:
            store.put(f"k{i}", Measurement({"accuracy": float(i)}, {}, {"text": "x" * 3000}), 0.0)
        except StoreError as error:
            print(i, error)
            store.put("small", Measurement({"accuracy": 0.5}, {}), 0.0)  # there is still room for this one
            break
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits")
def test_a_disk_that_is_full_leaves_all_earlier_cells_and_no_half_line(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 ") and "cannot be written" in done.stdout and "Finished cells are kept" in done.stdout
    with Store(tmp_path) as store:
        assert len(store) == 4 and store.get("k2")[0].quality == {"accuracy": 2.0}
        assert store.get("small")[0].quality == {"accuracy": 0.5}


def test_a_write_that_fails_late_is_taken_back(tmp_path, monkeypatch):
    path = filled(tmp_path)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    with Store(tmp_path) as store:
        monkeypatch.setattr(os, "fsync", full)
        for _ in range(2):
            with pytest.raises(StoreError, match="No space left on device"):
                store.put("k3", cell(3), 0.0)
            assert path.read_bytes() == before and store.get("k3") is None
        monkeypatch.undo()
        store.put("k4", cell(4), 0.0)
    with Store(tmp_path) as store:
        assert len(store) == 4


def test_every_line_is_json_by_itself(tmp_path):
    for number, line in enumerate(filled(tmp_path).read_text().splitlines()):
        assert json.loads(line)["key"] == f"k{number}"


def test_a_key_depends_on_what_a_configuration_says_and_not_on_its_order():
    assert key_of({"a": 1, "b": {"c": 2, "d": 3}}) == key_of({"b": {"d": 3, "c": 2}, "a": 1})
    assert len({key_of(c) for c in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": 1, "b": None}, {})}) == 5
