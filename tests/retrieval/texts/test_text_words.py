"""BM25 whose vocabulary grows."""

import numpy as np
import pytest

from fewer.errors import IndexFileError, RetrievalError
from fewer.retrieval.lexical.bm25 import BM25
from fewer.retrieval.texts.words import Words

TEXTS = ["the quick brown fox", "a lazy dog sleeps", "quick dogs and quick foxes", "nothing at all"]


@pytest.fixture
def words(tmp_path):
    return Words.build(TEXTS, tmp_path)


def test_scores_are_those_of_bm25(words):
    queries = ["quick fox", "dog", "sleeping nothing"]
    ours = words.encode(queries, queries=True).to_scipy() @ words.encode(TEXTS).to_scipy().T
    fitted = BM25().fit(TEXTS)
    theirs = fitted.encode_queries(queries).to_scipy() @ fitted.encode_documents(TEXTS).to_scipy().T
    np.testing.assert_allclose(ours.toarray(), theirs.toarray(), rtol=1e-5)


def test_unknown_words_of_a_query_are_left_out_and_those_of_a_document_join(words, tmp_path):
    assert len(words.encode(["zebra"], queries=True).values) == 0
    row = words.encode(["zebra fox"]).row(0)
    assert {words.term(c) for c in row[0].tolist()} == {"zebra", "fox"}
    again = Words.open(tmp_path)
    np.testing.assert_array_equal(again.encode(["zebra fox"]).row(0)[0], row[0])
    assert again.encode(["zebra"], queries=True).values[0] > again.encode(["quick"], queries=True).values[0]


def test_what_a_crash_tore_is_written_over(words, tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(path.read_bytes() + b"torn-wor")
    opened = Words.open(tmp_path)
    component = int(opened.encode(["zebra"]).components[0])
    assert Words.open(tmp_path).term(component) == "zebra"


def test_a_damaged_vocabulary_is_an_error(words, tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(IndexFileError, match="damaged"):
        Words.open(tmp_path)
    path.unlink()
    with pytest.raises(IndexFileError, match="cannot be read"):
        Words.open(tmp_path)


def test_texts_without_a_word_are_an_error(tmp_path):
    with pytest.raises(RetrievalError, match="no word"):
        Words.build(["", "the of"], tmp_path)


def test_spans_are_where_words_stand(words):
    text = "İ Quick foxes, the DOG"
    assert [(text[s.start : s.stop], s.term) for s in words.spans(text)] == [
        ("Quick", "quick"),
        ("foxes", "fox"),
        ("DOG", "dog"),
    ]
