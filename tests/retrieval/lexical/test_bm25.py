"""BM25 beside bm25s, on the same tokens."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fewer.data
from fewer.errors import IndexFileError, RetrievalError, VectorError
from fewer.retrieval.lexical.bm25 import BM25
from fewer.retrieval.lexical.tokens import Tokens
from fewer.retrieval.lexical.variants import VARIANTS

WORDS = Tokens(stemmer="", stop_words=frozenset())
TEXTS = ["the cat sat on the mat", "the dog sat", "a cat and a dog and a cat", "", "birds fly", "the end"]


def peer_scores(texts, queries, variant, k1, b, delta, tokens):
    """bm25s's score of every document for every query, with our tokens."""
    bm25s = pytest.importorskip("bm25s")
    retriever = bm25s.BM25(k1=k1, b=b, delta=delta, method=variant)
    retriever.index([tokens(text) for text in texts], show_progress=False)
    return np.stack([retriever.get_scores(tokens(query)) for query in queries])


def all_scores(model, queries, documents):
    """Ours, with documents that are not found at the query's shift."""
    hits = model.search(queries, documents)
    scores = np.repeat(model.shift(model.encode_queries(queries))[:, None], documents, 1)
    for row, found, score in zip(scores, hits.documents, hits.scores, strict=True):
        row[found[found >= 0]] = score[found >= 0]
    return scores


@pytest.mark.parametrize("variant", VARIANTS)
@given(data=st.data(), k1=st.floats(0.1, 3), b=st.floats(0, 1), delta=st.floats(0, 2))
@settings(deadline=None, max_examples=12)
def test_every_score_is_that_of_bm25s(variant, data, k1, b, delta):
    words = [f"w{number}" for number in range(12)]
    texts = data.draw(st.lists(st.lists(st.sampled_from(words), max_size=15).map(" ".join), min_size=2, max_size=12))
    seen = sorted({word for text in texts for word in text.split()})
    if not seen:
        return
    queries = data.draw(st.lists(st.lists(st.sampled_from(seen), min_size=1, max_size=5).map(" ".join), min_size=1, max_size=3))
    model = BM25(variant, k1, b, delta, WORDS).index(texts)
    expected = peer_scores(texts, queries, variant, k1, b, delta, WORDS)
    np.testing.assert_allclose(all_scores(model, queries, len(texts)), expected, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_on_real_texts_are_those_of_bm25s(variant):
    collection = fewer.data.load("python-docstrings")
    texts = [document.whole for document in collection.documents[:3000]]
    queries = [query.text for query in collection.judged[:40]]
    model = BM25(variant).index(texts)
    queries = [query for query, known in zip(queries, np.diff(model.encode_queries(queries).starts), strict=True) if known]
    np.testing.assert_allclose(
        all_scores(model, queries, len(texts)), peer_scores(texts, queries, variant, 1.5, 0.75, 0.5, Tokens()), atol=1e-4
    )


def test_the_best_match_comes_first():
    hits = BM25(tokens=WORDS).index(TEXTS).search(["cat", "the dog sat"], 2)
    assert hits.documents.tolist() == [[2, 0], [1, 0]]


def test_documents_that_share_no_term_are_not_found():
    hits = BM25("bm25+", tokens=WORDS).index(TEXTS).search(["birds"], 3)
    assert hits.documents.tolist() == [[4, -1, -1]] and (hits.scores[0, 1:] == 0).all()


def test_a_term_asked_twice_counts_twice():
    model = BM25("bm25l", tokens=WORDS).index(TEXTS)
    np.testing.assert_allclose(model.search(["cat cat"], 1).scores, 2 * model.search(["cat"], 1).scores, rtol=1e-6)


def test_documents_encoded_later_have_the_impacts_of_the_indexed_ones():
    model = BM25(tokens=WORDS).index(TEXTS)
    again, stored = model.encode_documents(TEXTS), model.index_.vectors()
    assert (again.components == stored.components).all()
    np.testing.assert_allclose(again.values, stored.values)


@pytest.mark.parametrize("indexed", [True, False])
def test_what_is_saved_answers_alike_when_it_is_loaded(tmp_path, indexed):
    model = BM25("bm25l", 1.2, 0.6, 0.7, WORDS)
    model = model.index(TEXTS) if indexed else model.fit(TEXTS)
    again = BM25.load(model.save(tmp_path / "words.npz"))
    assert (again.variant, again.k1, again.b, again.delta, again.tokens) == ("bm25l", 1.2, 0.6, 0.7, WORDS)
    assert (again.encode_documents(TEXTS).values == model.encode_documents(TEXTS).values).all()
    if indexed:
        assert (again.search(["cat"], 2).scores == model.search(["cat"], 2).scores).all()


def test_damaged_files_are_refused(tmp_path):
    path = BM25(tokens=WORDS).index(TEXTS).save(tmp_path / "words.npz")
    whole = path.read_bytes()
    for content in (whole[:200], b"", b"hello", whole[:100] + b"\x00" * 50 + whole[150:]):
        path.write_bytes(content)
        with pytest.raises(IndexFileError):
            BM25.load(path)
    np.savez(path, settings=np.frombuffer(json.dumps({"format": "other"}).encode(), np.uint8))
    with pytest.raises(IndexFileError, match="other"):
        BM25.load(path)
    with pytest.raises(IndexFileError):
        BM25.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize(
    "parameters", [{"variant": "bm26"}, {"k1": -1}, {"b": 1.5}, {"b": float("nan")}, {"delta": -0.1}, {"k1": float("nan")}]
)
def test_parameters_out_of_range_are_an_error(parameters):
    with pytest.raises(RetrievalError):
        BM25(**parameters)


def test_what_cannot_be_asked_is_an_error():
    with pytest.raises(RetrievalError, match="index"):
        BM25().fit(TEXTS).search(["cat"])
    with pytest.raises(RetrievalError, match="fit"):
        BM25().encode_queries(["cat"])
    for empty in ([], ["", " "], ["the of"]):
        with pytest.raises(RetrievalError, match="no word"):
            BM25().fit(empty)
    with pytest.raises(RetrievalError, match="list"):
        BM25().fit("one text")
    model = BM25(tokens=WORDS).index(TEXTS)
    for query in ("", "elephant"):
        with pytest.raises(VectorError, match="query 1"):
            model.search(["cat", query], 2)
    with pytest.raises(RetrievalError, match="k must be"):
        model.search(["cat"], 7)
