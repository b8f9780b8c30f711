"""fewer doctor."""

import json
import sys

import pytest

from fewer.cli import main
from fewer.cli.doctor import cache, cores, data_folder, examine, extras, memory, torch_build
from fewer.data.model_table import MODELS


@pytest.fixture
def fewer(monkeypatch, capsys, tmp_path):
    """Runs the command line in this process, with an empty cache: exit code, standard output, standard error."""
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FEWER_DATA", raising=False)
    monkeypatch.delenv("FEWER_MODELS", raising=False)

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["fewer", *args])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return run


def test_every_check_is_fine_or_says_what_to_do(fewer):
    code, out, err = fewer("doctor", "--json")
    assert (code, err) == (0, "")
    checks = json.loads(out)
    assert all(list(check) == ["name", "ok", "found", "todo", "needed"] for check in checks)
    assert all(check["ok"] or check["todo"] for check in checks)
    assert [check["name"] for check in checks[:4]] == ["python", "cores", "memory", "torch"]


def test_the_table_has_the_same_checks(fewer):
    code, out, _ = fewer("doctor")
    assert code == 0
    assert all(f" {check.name} " in out for check in examine())


def test_models_that_are_not_here_name_the_command_that_fetches_them(fewer):
    checks = {check["name"]: check for check in json.loads(fewer("doctor", "--json")[1])}
    for name in MODELS:
        assert checks[f"model {name}"]["ok"] is False
        assert checks[f"model {name}"]["todo"] == f"fewer models get {name}"


def test_a_model_in_the_users_folder_is_seen_and_a_damaged_one_is_named(fewer, monkeypatch, tmp_path):
    file = MODELS["efficientnet-lite0"].files[0]
    path = tmp_path / file.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not the weights")
    monkeypatch.setenv("FEWER_MODELS", str(tmp_path))
    checks = {check["name"]: check for check in json.loads(fewer("doctor", "--json")[1])}
    assert str(path) in checks["model efficientnet-lite0"]["found"]


def test_a_data_folder_that_does_not_exist_is_a_fault(fewer, monkeypatch):
    monkeypatch.setenv("FEWER_DATA", "/no/such/folder")
    code, out, _ = fewer("doctor", "--json")
    assert code == 1
    assert "/no/such/folder" in json.loads(out)[-1]["found"]


def test_a_data_folder_counts_its_complete_sets(tmp_path):
    assert data_folder(None).ok
    assert not data_folder(tmp_path).ok
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").touch()
    assert data_folder(tmp_path).found == f"1 data sets in {tmp_path}"


def test_torch_that_does_not_import_is_a_fault_and_ends_the_examination(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    check = torch_build()
    assert (check.ok, check.needed) == (False, True)
    assert "pip install -c constraints.txt" in check.todo
    assert not any(check.name.startswith("model ") for check in examine())


def test_little_memory_and_little_room_are_said(monkeypatch, tmp_path):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Seen", (), {"available": 2**31, "total": 2**33}))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2**29}))
    assert memory().found == "2.0 GiB free of 8.0 GiB"
    assert not memory().ok
    assert not cache("cache", tmp_path, "FEWER_CACHE").ok


def test_a_cache_that_cannot_be_written_names_the_variable(monkeypatch, tmp_path):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    check = cache("hub cache", tmp_path / "not" / "yet", "HF_HOME")
    assert not check.ok
    assert "HF_HOME" in check.todo and str(tmp_path) in check.todo


def test_an_extra_is_missing_when_one_of_its_packages_is(monkeypatch):
    assert {"extra test", "extra dev", "extra docs"} <= {check.name for check in extras()}
    monkeypatch.setattr("fewer.cli.doctor.is_installed", lambda name: name != "hypothesis")
    missing = [check for check in extras() if not check.ok]
    assert [check.name for check in missing] == ["extra test"]
    assert missing[0].found == "without hypothesis"
    assert missing[0].todo.endswith("-e '.[test]'")


def test_cores_are_counted():
    assert int(cores().found.split()[0]) >= 1


def test_the_path_of_the_kernels_is_named(monkeypatch):
    from fewer.cli.doctor import kernels
    from fewer.kernels.dispatch import cpu_path

    try:
        for path, ok in (("portable", True), ("reference", False), ("fast", False)):
            monkeypatch.setenv("FEWER_KERNELS", path)
            cpu_path.cache_clear()
            check = kernels()
            assert (check.ok, bool(check.todo)) == (ok, not ok)
            assert path in check.found or path == "reference"
    finally:
        cpu_path.cache_clear()
