"""Feedback among words."""

import numpy as np
import pytest

from fewer.errors import RetrievalError
from fewer.retrieval.feedback.ranking import Ranking
from fewer.retrieval.feedback.rm3 import RM3
from fewer.retrieval.vectors import SparseVectors

COUNTS = SparseVectors.from_rows([{0: 2, 1: 2}, {1: 1, 2: 3}, {3: 1}], 4)


def test_moved_queries_are_those_worked_out_by_hand() -> None:
    found = Ranking(np.array([[0, 1, -1]]), np.array([[3.0, 1.0, 0.0]]))
    moved = RM3(documents=2, terms=3, original=0.5).moved(SparseVectors.from_rows([{0: 1, 3: 1}], 4), found, COUNTS)
    # 3 * (1/2, 1/2, 0) + 1 * (0, 1/4, 3/4) = (1.5, 1.75, .75), a whole of 4; the query is (1/2, 0, 0, 1/2)
    expected = np.array([1.5 / 8 + 0.25, 1.75 / 8, 0.75 / 8, 0.25])
    np.testing.assert_allclose(moved.to_scipy().toarray()[0], expected, rtol=1e-6)
    assert moved.values.sum() == pytest.approx(1)


def test_only_the_likeliest_terms_are_added() -> None:
    found = Ranking(np.array([[0, 1, -1]]), np.array([[3.0, 1.0, 0.0]]))
    moved = RM3(documents=2, terms=1, original=0.0).moved(SparseVectors.from_rows([{3: 1}], 4), found, COUNTS)
    # of the first document term 0 stays (equal to 1, but lower), of the second term 2; of the model term 0
    assert {int(c): float(v) for c, v in zip(*moved.row(0), strict=True)} == {0: 1.0}


def test_a_query_that_found_nothing_keeps_its_own_words() -> None:
    found = Ranking(np.array([[-1]]), np.array([[0.0]]))
    moved = RM3().moved(SparseVectors.from_rows([{1: 1, 3: 3}], 4), found, COUNTS)
    assert moved.to_scipy().toarray().tolist() == [[0, 0.25, 0, 0.75]]


def test_wrong_input_says_what_is_wrong() -> None:
    queries = SparseVectors.from_rows([{1: 1}], 4)
    with pytest.raises(RetrievalError, match="at least 0"):
        RM3().moved(queries, Ranking(np.array([[0]]), np.array([[-1.0]])), COUNTS)
    with pytest.raises(RetrievalError, match="must fit"):
        RM3().moved(SparseVectors.from_rows([{1: 1}], 9), Ranking(np.array([[0]]), np.array([[1.0]])), COUNTS)
    with pytest.raises(RetrievalError, match="from 1"):
        RM3(terms=0)
