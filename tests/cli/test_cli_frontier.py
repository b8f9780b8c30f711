import json

import pytest
import typer
from typer.testing import CliRunner

from fewer.cli.frontier import frontier
from fewer.data.trained import echo_lm
from fewer.errors import AttentionError

SMALL = ["--study", "bytes", "--models", "bytes-16", "--lengths", "32", "--budgets", "0.75", "--samples", "4", "--seeds", "1"]


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(echo_lm, "train", lambda *_: None)  # an untrained network shows as much
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "cache"))
    app = typer.Typer()
    app.command()(frontier)

    def call(*arguments):
        return CliRunner().invoke(app, [*SMALL, "--out", str(tmp_path / "out"), *arguments])

    return call


def test_a_study_prints_tables_and_writes_reports(run, tmp_path):
    found = run("--arms", "block,random,quest")
    assert found.exit_code == 0, found.output
    assert "Highest tolerable sparsity" in found.output
    assert "random" in found.output
    assert (tmp_path / "out" / "sparse-frontier-bytes-16-32" / "report.html").is_file()


def test_json_holds_results_tolerable_sparsity_and_the_front(run):
    found = run("--arms", "window", "--json")
    said = json.loads(found.stdout)
    assert set(said) == {"results", "tolerable", "isoflop"}
    assert {row["arm"] for row in said["results"][0]["rows"]} == {"dense", "window"}
    assert said["tolerable"][0]["sparsity"] is None  # four samples can reject nothing
    assert all({"flops", "quality", "front"} <= set(point) for point in said["isoflop"]["nll:echo"])


def test_what_is_unknown_is_refused(run):
    assert isinstance(run("--arms", "blok").exception, AttentionError)
    for arguments in (("--lengths", "long"), ("--dtype", "int8"), ("--study", "none")):
        assert run(*arguments).exit_code == 2
