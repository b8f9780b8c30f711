import json
import os

import pytest
from typer.testing import CliRunner

from fewer.cli.data import data_app, models_app

run = CliRunner().invoke
SHARED = os.environ.get("FEWER_DATA")


@pytest.fixture(autouse=True)
def nothing_here(tmp_path, monkeypatch):
    for variable in ("FEWER_DATA", "FEWER_MODELS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "cache"))


def test_list_says_where_each_set_would_come_from():
    rows = {row["name"]: row for row in json.loads(run(data_app, ["list", "--json"]).stdout)}
    assert (rows["digits"]["source"], rows["digits"]["here"]) == ("embedded", True)
    assert (rows["wikitext2"]["source"], rows["wikitext2"]["here"]) == ("public", False)
    assert (rows["cora"]["source"], rows["cora"]["sources"]) == (None, ["folder"])
    assert all(row["licence"] for row in rows.values())


def test_list_marks_a_set_that_differs(tmp_path):
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").write_text("other words")
    rows = {r["name"]: r for r in json.loads(run(data_app, ["list", "--json", "--data", str(tmp_path)]).stdout)}
    assert not rows["tinyshakespeare"]["here"]
    assert "sha256" in rows["tinyshakespeare"]["problem"]
    assert "damaged" in run(data_app, ["list", "--data", str(tmp_path)]).stdout


def test_models_are_listed_with_their_packages():
    rows = {row["name"]: row for row in json.loads(run(models_app, ["list", "--json"]).stdout)}
    assert list(rows) == ["smollm2-135m", "minilm", "splade-tiny", "efficientnet-lite0"]
    assert rows["smollm2-135m"]["sources"] == ["folder", "package", "hub"]


def test_get_prints_json_alone_and_reports_failures_with_exit_code_1():
    result = run(data_app, ["get", "digits", "cora", "nope", "--json"])
    assert [one["name"] for one in json.loads(result.stdout)] == ["digits"]
    assert "cora cannot be had" in result.stderr
    assert "No data set is called 'nope'" in result.stderr
    assert result.exit_code == 1


@pytest.mark.skipif(not SHARED, reason="FEWER_DATA is not set")
def test_get_prints_place_and_checksum():
    result = run(data_app, ["get", "tinyshakespeare", "--data", SHARED])
    assert result.exit_code == 0
    assert "tinyshakespeare: folder" in result.stdout
    assert "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed" in result.stdout
