"""ExactIndex beside scipy's matrix product."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.errors import FewerError, IndexFileError, RetrievalError, VectorError
from fewer.retrieval.index.exact import ExactIndex
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
    hits = ExactIndex.build(documents).search(queries, k, alive=alive)
    expected, scores = best(documents, queries, k, alive)
    np.testing.assert_allclose(hits.scores, scores, rtol=1e-5)
    assert ((hits.documents == -1) == (expected == -1)).all()
    for mine, theirs, score in zip(hits.documents, expected, scores, strict=True):
        clear = np.r_[True, np.diff(score) < -1e-5] & np.r_[np.diff(score) < -1e-5, k == rows]
        assert (mine[clear] == theirs[clear]).all()


def test_equal_scores_come_in_the_order_of_the_documents():
    documents = SparseVectors.from_rows([{0: 1.0}, {0: 2.0}, {0: 1.0}, {0: 2.0}, {1: 9.0}, {0: 1.0}], 2)
    hits = ExactIndex.build(documents).search(SparseVectors.from_rows([{0: 1.0}], 2), 4)
    assert hits.documents.tolist() == [[1, 3, 0, 2]]


def test_a_search_leaves_nothing_behind_for_the_next():
    documents, queries = sparse(300, 30, 0), sparse(20, 30, 1, least=1)
    index = ExactIndex.build(documents)
    together = index.search(queries, 5)
    for number in range(len(queries)):
        assert (index.search(queries[number : number + 1], 5).documents == together.documents[number]).all()


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


@pytest.mark.parametrize(("name", "change"), [("starts", 1), ("documents", 100), ("documents", -100)])
def test_arrays_that_would_be_read_beside_their_end_are_refused(name, change):
    index = ExactIndex.build(sparse(100, 30, 0))
    arrays = {key: array.copy() for key, array in index.arrays().items()}
    arrays[name][-1] += change
    with pytest.raises(IndexFileError, match="Build it again"):
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
        (RetrievalError, lambda index: ExactIndex.build(index.vectors(), levels=3)),
    ],
)
def test_what_cannot_be_asked_is_an_error(error, call):
    with pytest.raises(error) as raised:
        call(ExactIndex.build(sparse(100, 30, 0)))
    assert isinstance(raised.value, FewerError)
