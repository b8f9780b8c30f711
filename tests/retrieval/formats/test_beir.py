"""BEIR folders."""

import gzip
from pathlib import Path

import pytest

from fewer.data.retrieval import Collection, Document, Query
from fewer.errors import DataError
from fewer.retrieval.formats.beir import read_beir, write_beir

COLLECTION = Collection(
    name="small",
    source="folder",
    documents=(Document("d1", "A title", "A text\u2028with an odd line end"), Document("d2", "", 'Quotes "and" tabs\t')),
    queries=(Query("q1", "what?"), Query("q2", "why?")),
    judgements={"q1": {"d1": 2, "d2": 0}},
)


def test_a_collection_comes_back_as_it_was_written(tmp_path: Path) -> None:
    found = read_beir(write_beir(tmp_path / "small", COLLECTION, "dev"), "dev")
    assert (found.documents, found.queries, found.judgements) == (
        COLLECTION.documents,
        COLLECTION.queries,
        COLLECTION.judgements,
    )
    assert found.name == "small" and [q.id for q in found.judged] == ["q1"]


def test_the_files_are_those_that_beir_reads(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "small", COLLECTION)
    assert (folder / "qrels" / "test.tsv").read_text() == "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n"
    assert (folder / "queries.jsonl").read_text().split("\n")[0] == '{"_id": "q1", "text": "what?", "metadata": {}}'


def test_packed_files_and_corpora_without_titles_are_read(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "small", COLLECTION)
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(b'{"_id": "d1", "text": "x"}\n'))
    assert read_beir(folder).documents == (Document("d1", "", "x"),)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "b"\n', "corpus.jsonl, line 2: no JSON"),
        ("corpus.jsonl", '{"_id": "a"}\n', "line 1: an object with texts"),
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', "line 2: the id a"),
        ("queries.jsonl", '{"_id": "other", "text": "x"}\n', "judges query q1"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\n", "line 2: `query-id"),
        ("qrels/test.tsv", "q1\td1\tmuch\n", "line 1: `query-id"),
        ("qrels/test.tsv", "q1\td1\t1\nq1\td1\t2\n", "line 2: document d1 stands twice"),
    ],
)
def test_damage_is_an_error_that_names_the_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    folder = write_beir(tmp_path / "small", COLLECTION)
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read_beir(folder)


def test_a_missing_file_or_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no corpus\.jsonl"):
        read_beir(tmp_path)
    folder = write_beir(tmp_path / "small", COLLECTION)
    with pytest.raises(DataError, match="splits with judgements: test"):
        read_beir(folder, "train")
