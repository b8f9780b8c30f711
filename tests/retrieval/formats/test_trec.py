"""TREC runs and judgements."""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewer.errors import DataError
from fewer.retrieval.formats.trec import read_qrels, read_run, write_qrels, write_run

names = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=6)
kept = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@kept
@given(st.dictionaries(names, st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False), min_size=1), max_size=4))
def test_runs_come_back_as_they_were_written(tmp_path: Path, run: dict) -> None:
    assert read_run(write_run(tmp_path / "run.trec", run)) == run


@kept
@given(st.dictionaries(names, st.dictionaries(names, st.integers(-1, 9), min_size=1), max_size=4))
def test_judgements_come_back_as_they_were_written(tmp_path: Path, qrels: dict) -> None:
    assert read_qrels(write_qrels(tmp_path / "qrels.txt", qrels)) == qrels


def test_a_run_is_written_best_first_with_ranks_from_1(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", {"q": {"a": 1.0, "b": 2.5}}, tag="mine")
    assert path.read_text() == "q Q0 b 1 2.5 mine\nq Q0 a 2 1.0 mine\n"


def test_trec_evals_own_reader_reads_what_was_written(tmp_path: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    run = {"q1": {"a": 1e-7, "b": 2.5}, "q2": {"c": -3.0}}
    with write_run(tmp_path / "run", run).open() as file:
        assert pytrec_eval.parse_run(file) == run
    with write_qrels(tmp_path / "qrels", {"q1": {"a": 2}}).open() as file:
        assert pytrec_eval.parse_qrel(file) == {"q1": {"a": 2}}


def test_packed_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "run.gz").write_bytes(gzip.compress(b"q Q0 a 1 2.0 x\n\n"))
    assert read_run(tmp_path / "run.gz") == {"q": {"a": 2.0}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q Q0 a 1 2.0 x\nq Q0 b 2\n", "line 2: 6 fields"),
        ("q Q0 a 1 high x\n", "line 1: the score"),
        ("q Q0 a 1 nan x\n", "line 1: the score"),
        ("q Q0 a 1 2 x\n\nq Q0 a 2 1 x\n", "line 3: document a stands twice"),
    ],
)
def test_a_damaged_run_is_an_error_that_names_the_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "run").write_text(text)
    with pytest.raises(DataError, match=said):
        read_run(tmp_path / "run")


def test_a_damaged_judgement_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("q 0 a 1\nq 0 b much\n")
    with pytest.raises(DataError, match="line 2: the relevance"):
        read_qrels(tmp_path / "qrels")
    (tmp_path / "half.gz").write_bytes(gzip.compress(b"q 0 a 1\n" * 100)[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        read_qrels(tmp_path / "half.gz")
    with pytest.raises(DataError, match="cannot be read"):
        read_qrels(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["", "a b", "a\n"])
def test_ids_with_blanks_are_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no blanks"):
        write_run(tmp_path / "run", {"q": {name: 1.0}})
    assert not (tmp_path / "run").exists()
