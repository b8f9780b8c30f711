"""ExactIndex beside scipy's matrix product."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.errors import FewerError, IndexFileError, RetrievalError, VectorError
from fewer.retrieval.index.exact import ExactHow, ExactIndex, Traversal
from fewer.retrieval.vectors import SparseVectors


def sparse(rows, dimension, seed, density=0.2, least=0):
    rng = np.random.default_rng(seed)
    table = rng.random((rows, dimension), np.float32) * (rng.random((rows, dimension)) < density)
    if least:
        table[:, rng.integers(dimension, size=rows)] = 1
    return SparseVectors.from_rows([dict(enumerate(row.tolist())) for row in table], dimension)


def best(documents, queries, k, alive=None):
    """By sorting the whole table of inner products; ties by document number."""
    table = (queries.to_scipy().astype(np.float64) @ documents.to_scipy().astype(np.float64).T).toarray()
    if alive is not None:
        table[:, ~alive] = 0
    order = np.argsort(-table, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(table, order, 1)
    return np.where(scores > 0, order, -1), scores


@given(
    rows=st.integers(1, 150),
    dimension=st.integers(1, 40),
    seed=st.integers(0, 10**6),
    density=st.floats(0.01, 0.9),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_the_best_documents_are_those_of_the_matrix_product(rows, dimension, seed, density, data):
    documents, queries = sparse(rows, dimension, seed, density), sparse(3, dimension, seed + 1, least=1)
    k = data.draw(st.integers(1, rows))
    alive = np.random.default_rng(seed).random(rows) < 0.7 if data.draw(st.booleans()) else None
    how = ExactHow(data.draw(st.sampled_from(get_args(Traversal))))
    hits = ExactIndex.build(documents).search(queries, k, how, alive=alive)
    expected, scores = best(documents, queries, k, alive)
    np.testing.assert_allclose(hits.scores, scores, rtol=1e-5)
    assert ((hits.documents == -1) == (expected == -1)).all()
    for mine, theirs, score in zip(hits.documents, expected, scores, strict=True):
        clear = np.r_[True, np.diff(score) < -1e-5] & np.r_[np.diff(score) < -1e-5, k == rows]
        assert (mine[clear] == theirs[clear]).all()


@pytest.mark.parametrize("way", get_args(Traversal))
def test_equal_scores_come_in_the_order_of_the_documents(way):
    documents = SparseVectors.from_rows([{0: 1.0}, {0: 2.0}, {0: 1.0}, {0: 2.0}, {1: 9.0}, {0: 1.0}], 2)
    hits = ExactIndex.build(documents).search(SparseVectors.from_rows([{0: 1.0}], 2), 4, ExactHow(way))
    assert hits.documents.tolist() == [[1, 3, 0, 2]]


def zipf(rows, dimension, seed, terms):
    """Rows of some terms, a few of which are in many rows, with values as BM25 has them: the rarer, the larger."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, dimension + 1)
    worth = np.log(1 + 1 / share)
    drawn = [np.unique(rng.choice(dimension, terms, p=share / share.sum())) for _ in range(rows)]
    return SparseVectors.from_rows([{int(t): float(worth[t] * rng.uniform(0.3, 2)) for t in row} for row in drawn], dimension)


@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("way", [way for way in get_args(Traversal) if way != "term"])
@pytest.mark.parametrize("deleted", [False, True])
def test_every_way_finds_the_same_where_much_can_be_skipped(way, k, deleted):
    documents, queries = zipf(5000, 200, 0, 20), zipf(150, 200, 1, 5)
    alive = np.random.default_rng(2).random(5000) < 0.5 if deleted else None
    index = ExactIndex.build(documents)
    plain, skipping = (index.search(queries, k, ExactHow(by), alive=alive) for by in ("term", way))
    np.testing.assert_allclose(plain.scores, skipping.scores, rtol=1e-6)
    assert (plain.documents == skipping.documents).mean() > 0.999
    assert (skipping.scored <= plain.scored).all()


def test_bounds_leave_most_documents_unread():
    index, queries = ExactIndex.build(zipf(5000, 200, 0, 20)), zipf(150, 200, 1, 5)
    plain, skipping = (index.search(queries, 1, ExactHow(by)).scored.mean() for by in ("term", "bounded"))
    assert skipping < plain / 2


@pytest.mark.parametrize("way", get_args(Traversal))
def test_a_search_leaves_nothing_behind_for_the_next(way):
    documents, queries = zipf(3000, 100, 0, 20), zipf(40, 100, 1, 5)
    index = ExactIndex.build(documents)
    together = index.search(queries, 5, ExactHow(way))
    for number in range(len(queries)):
        assert (index.search(queries[number : number + 1], 5, ExactHow(way)).documents == together.documents[number]).all()


def test_threads_do_not_change_the_answer():
    documents, queries = sparse(300, 30, 0), sparse(21, 30, 1, least=1)
    index = ExactIndex.build(documents)
    for one, three in zip(index.search(queries, 5), index.search(queries, 5, threads=3), strict=True):
        assert (one == three).all()


@given(rows=st.integers(0, 60), dimension=st.integers(1, 30), seed=st.integers(0, 10**6), density=st.floats(0, 1))
@settings(deadline=None, max_examples=40)
def test_the_stored_vectors_come_back_as_they_were(rows, dimension, seed, density):
    given_vectors = sparse(rows, dimension, seed, density)
    back = ExactIndex.build(given_vectors).vectors()
    for name in ("starts", "components", "values"):
        assert (getattr(back, name) == getattr(given_vectors, name)).all()


def test_read_only_arrays_make_the_same_index():
    documents, queries = sparse(100, 30, 0), sparse(4, 30, 1, least=1)
    index = ExactIndex.build(documents)
    arrays = {name: array.copy() for name, array in index.arrays().items()}
    for array in arrays.values():
        array.flags.writeable = False
    again = ExactIndex.from_arrays(arrays, index.settings())
    assert (again.search(queries, 7).documents == index.search(queries, 7).documents).all()
    assert again.bytes == index.bytes


@pytest.mark.parametrize(("name", "change"), [("starts", 1), ("documents", 100), ("documents", -100), ("peaks", None)])
def test_arrays_that_would_be_read_beside_their_end_are_refused(name, change):
    index = ExactIndex.build(sparse(100, 30, 0))
    arrays = {key: array.copy() for key, array in index.arrays().items()}
    if change is None:
        arrays[name] = arrays[name][1:]
    else:
        arrays[name][-1] += change
    with pytest.raises(IndexFileError, match="Build the index again"):
        ExactIndex.from_arrays(arrays, index.settings())


def test_scored_counts_the_documents_that_share_a_term():
    documents = SparseVectors.from_rows([{0: 1.0}, {1: 2.0}, {0: 1.0, 1: 1.0}, {2: 1.0}], 3)
    assert ExactIndex.build(documents).search(SparseVectors.from_rows([{0: 1.0, 1: 1.0}], 3), 1).scored.tolist() == [3]


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (VectorError, lambda index: index.search(SparseVectors.from_rows([{}], 30), 1)),
        (VectorError, lambda index: index.search(SparseVectors.from_rows([{1: 1.0}], 31), 1)),
        (VectorError, lambda index: index.search(SparseVectors.from_rows([{1: float("nan")}], 30), 1)),
        (VectorError, lambda index: index.search(SparseVectors.from_rows([{1: -1.0}], 30), 1)),
        (RetrievalError, lambda index: index.search(SparseVectors.from_rows([{1: 1.0}], 30), 101)),
        (RetrievalError, lambda index: index.search(SparseVectors.from_rows([{1: 1.0}], 30), 0)),
        (RetrievalError, lambda index: index.search(SparseVectors.from_rows([{1: 1.0}], 30), 1, threads=0)),
        (RetrievalError, lambda index: index.search(SparseVectors.from_rows([{1: 1.0}], 30), 1, alive=np.ones(99, bool))),
        (RetrievalError, lambda index: ExactHow("both")),
        (RetrievalError, lambda index: ExactIndex.build(index.vectors(), levels=3)),
    ],
)
def test_what_cannot_be_asked_is_an_error(error, call):
    with pytest.raises(error) as raised:
        call(ExactIndex.build(sparse(100, 30, 0)))
    assert isinstance(raised.value, FewerError)
