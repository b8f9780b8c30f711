"""The examples run as written, in an empty folder."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, own_registry):
    monkeypatch.chdir(tmp_path)


def run(name):
    runpy.run_path(str(EXAMPLES[0].parent / name), run_name="__main__")


def test_each_example_has_a_test_and_is_short():
    for path in EXAMPLES:
        assert any(name.startswith(f"test_{path.stem}_runs") for name in globals())
        assert len(path.read_text(encoding="utf-8").splitlines()) < 40


def test_add_a_method_runs(capsys, one_thread, short_digits):
    run("add_a_method.py")
    out = capsys.readouterr().out
    assert all(arm in out for arm in ("dense", "random", "wanda", "relative-importance"))


def test_compare_methods_runs_and_goes_on_where_it_was(capsys, tmp_path, one_thread, short_digits):
    run("compare_methods.py")
    first = capsys.readouterr().out
    assert "sparsegpt beside its twin at density 0.1: +" in first
    assert (tmp_path / "runs/digits/report.html").stat().st_size > 100_000
    run("compare_methods.py")
    assert "seed" in first and ", seed " not in capsys.readouterr().out  # no cell was measured again


def test_sparse_training_runs(capsys, one_thread):
    run("sparse_training.py")
    out = capsys.readouterr().out
    assert "density 0.100" in out
    assert float(out.split()[1].rstrip(",")) > 0.8


def test_masks_while_training_runs(capsys, one_thread):
    run("masks_while_training.py")
    dense, cut, trained = (float(line.split(",")[0].split()[-1]) for line in capsys.readouterr().out.splitlines())
    assert cut < trained <= dense


def test_iso_flop_runs(capsys, one_thread):
    run("iso_flop.py")
    out = capsys.readouterr().out
    assert "1.0000" in out and "656 weights" in out
    wide, dense = (float(line.split(": ")[1].split(",")[0]) for line in out.splitlines() if line.endswith("656 weights"))
    assert 0 < wide < 2 and 0 < dense < 2


def test_search_texts_runs(capsys):
    run("search_texts.py")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("backups.md: ") and "(backup)" in first
    assert second == "added: 1 documents in all: 2"


@pytest.mark.data
def test_prune_and_save_runs(capsys):
    from fewer.data.models import is_available

    if not is_available("smollm2-135m"):
        pytest.skip("SmolLM2-135M cannot be had on this machine")
    run("prune_and_save.py")
    out = capsys.readouterr().out
    assert "kept 50.0%" in out
    dense, pruned = (float(part.split()[0]) for part in out.split(": ")[-1].split(", "))
    assert 5 < dense < pruned < 10 * dense
