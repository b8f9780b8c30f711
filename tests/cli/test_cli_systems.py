"""fewer list and fewer show."""

import json
import sys

import pytest

from fewer.catalog import systems
from fewer.cli import main


@pytest.fixture
def fewer(monkeypatch, capsys):
    """Runs the command line in this process: exit code, standard output, standard error."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["fewer", *args])
        monkeypatch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return run


def test_list_names_every_system_within_80_columns(fewer):
    code, out, _ = fewer("list")
    assert code == 0
    assert all(f"  {entry.slug} " in out for entry in systems())
    assert max(len(line) for line in out.splitlines()) <= 80


def test_list_as_json_has_one_object_a_system(fewer):
    code, out, err = fewer("list", "--json")
    assert (code, err) == (0, "")
    listed = json.loads(out)
    assert [entry["slug"] for entry in listed] == [entry.slug for entry in systems()]
    keys = ["slug", "domain", "title", "paper", "score", "select", "apply", "schedule", "status"]
    assert all(list(entry) == keys for entry in listed)


def test_list_can_be_narrowed_to_a_domain(fewer):
    listed = json.loads(fewer("list", "--domain", "attention", "--json")[1])
    assert [entry["slug"] for entry in listed] == ["anchor-attention", "tidaldecode", "sparsed", "sparse-frontier"]


def test_an_unknown_domain_is_wrong_usage(fewer):
    code, out, err = fewer("list", "--domain", "weight")
    assert (code, out) == (2, "")
    assert "'weight' is none of weights, activations" in err


def test_show_says_everything(fewer):
    code, out, _ = fewer("show", "seismic")
    assert code == 0
    assert "arXiv 2404.18812" in out
    assert max(len(line) for line in out.splitlines()) <= 80


@pytest.mark.parametrize(
    ("status", "check"), [("ready", "fewer reproduce dsnot --scale smoke"), ("planned", None)], ids=["ready", "planned"]
)
def test_show_as_json_says_how_to_check_what_is_ready(fewer, monkeypatch, status, check):
    monkeypatch.setattr("fewer.catalog.System.status", status)
    code, out, _ = fewer("show", "dsnot", "--json")
    assert code == 0
    shown = json.loads(out)
    assert (shown["year"], shown["status"], shown["check"]) == (2023, status, check)


def test_an_unknown_system_is_an_error_that_names_the_nearest_even_with_json(fewer):
    code, out, err = fewer("show", "dsnott", "--json")
    assert (code, out) == (1, "")
    assert err.startswith("error: there is no system 'dsnott'. Did you mean dsnot?")
