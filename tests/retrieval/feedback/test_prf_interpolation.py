"""Feedback with a sparse list before, after, both or not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.errors import RetrievalError
from fewer.retrieval.feedback.prf_interpolation import PLACES, PRF
from fewer.retrieval.feedback.ranking import Ranking
from fewer.retrieval.feedback.vector import Average, Rocchio
from fewer.retrieval.feedback.vectors import DenseDocuments, SparseDocuments
from fewer.retrieval.index.exact import ExactIndex
from fewer.retrieval.vectors import SparseVectors

N = 30


def made(seed: int, queries: int = 4) -> tuple[np.ndarray, np.ndarray, SparseVectors, SparseVectors]:
    """Dense documents and queries, sparse documents and queries."""
    generator = np.random.default_rng(seed)

    def sparse(rows: int) -> SparseVectors:
        return SparseVectors.from_rows(
            [{int(c): float(generator.uniform(0.5, 2)) for c in generator.permutation(12)[:5]} for _ in range(rows)], 12
        )

    dense = [generator.normal(size=(rows, 6)).astype(np.float32) for rows in (N, queries)]
    return dense[0], dense[1], sparse(N), sparse(queries)


def min_max(scores: np.ndarray) -> np.ndarray:
    low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    return (scores - low) / (high - low)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("feedback", [Average(3), Rocchio(5, 0.4, 0.6)])
def test_the_four_pipelines_are_those_of_the_paper(where: str, feedback: Average | Rocchio) -> None:
    documents, queries, sparse, asked = made(0)
    plain = asked.to_scipy().toarray() @ sparse.to_scipy().toarray().T
    found = PRF(documents, ExactIndex.build(sparse), feedback, where, weight=0.4, missing="true").search(queries, asked, k=N)

    def interp(scores: np.ndarray) -> np.ndarray:
        return 0.4 * min_max(plain) + 0.6 * min_max(scores)

    first = queries @ documents.T
    chosen = np.argsort(-(interp(first) if where in ("before", "both") else first))[:, : feedback.depth]
    if isinstance(feedback, Average):
        moved = np.stack([np.mean([q, *documents[c]], axis=0) for q, c in zip(queries, chosen, strict=True)])
    else:
        moved = np.stack([0.4 * q + 0.6 * documents[c].mean(axis=0) for q, c in zip(queries, chosen, strict=True)])
    last = moved @ documents.T
    expected = Ranking.of_all(interp(last) if where in ("after", "both") else last)
    assert (found.documents == expected.documents).mean() > 0.98  # sums in another order
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 8))
def test_average_is_rocchio_with_a_share_for_the_query(seed: int, k: int) -> None:
    documents, queries, sparse, asked = made(seed)
    twin = Rocchio(k, 1 / (k + 1), k / (k + 1))
    for side, given_queries in ((DenseDocuments(documents), queries), (SparseDocuments(ExactIndex.build(sparse)), asked)):
        chosen = side.search(given_queries, k).documents
        average, rocchio = (f.moved(given_queries, chosen, side) for f in (Average(k), twin))
        for one, other in zip(*(side.search(moved, N) for moved in (average, rocchio)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)


def test_a_document_that_only_the_sparse_list_found_gives_its_dense_vector() -> None:
    documents = np.array([[1, 0], [0.9, 0], [0.1, 1]], np.float32)
    sparse = SparseVectors.from_rows([{0: 1.0}, {1: 1.0}, {2: 5.0}], 3)
    asked, queries = SparseVectors.from_rows([{2: 1.0}], 3), np.array([[1, 0]], np.float32)
    prf = PRF(documents, ExactIndex.build(sparse), Rocchio(1, 0.0, 1.0), "before", weight=1.0, depth=2)
    assert prf.search(queries, asked, k=1).documents.tolist() == [[2]]
    assert prf.search(queries, asked, k=1).scores[0, 0] == pytest.approx(1.01)


def test_sparse_queries_learn_too() -> None:
    sparse = SparseVectors.from_rows([{0: 1.0, 1: 2.0}, {1: 1.0}, {2: 1.0}], 3)
    side = SparseDocuments(ExactIndex.build(sparse))
    moved = Rocchio(1, 0.5, 0.5).moved(SparseVectors.from_rows([{0: 1.0}], 3), np.array([[0]]), side)
    assert [a.tolist() for a in moved.row(0)] == [[0, 1], [1.0, 1.0]]
    found = PRF(ExactIndex.build(sparse), feedback=Rocchio(1), interpolate="none").search(
        SparseVectors.from_rows([{0: 1.0}], 3), k=2
    )
    assert found.documents.tolist() == [[0, 1]]


def test_a_query_that_finds_nothing_stays_as_it_is() -> None:
    side = SparseDocuments(ExactIndex.build(SparseVectors.from_rows([{0: 1.0}, {1: 1.0}], 3)))
    queries = SparseVectors.from_rows([{2: 3.0}, {}], 3)
    chosen = side.search(queries, 2).documents
    moved = Rocchio(1).moved(queries, chosen, side)
    assert (chosen == -1).all()
    assert moved.to_scipy().toarray().tolist() == [[0, 0, 3], [0, 0, 0]]


def test_fusion_without_feedback_is_the_control() -> None:
    documents, queries, sparse, asked = made(1)
    prf = PRF(documents, ExactIndex.build(sparse), missing="true")
    plain = asked.to_scipy().toarray() @ sparse.to_scipy().toarray().T
    expected = Ranking.of_all(0.5 * min_max(plain) + 0.5 * min_max(queries @ documents.T))
    assert (prf.fused(queries, asked, k=N).documents == expected.documents).mean() > 0.98


def test_a_shallow_list_changes_the_fused_scores() -> None:
    documents, queries, sparse, asked = made(2)
    deep, shallow = (
        PRF(documents, ExactIndex.build(sparse), Rocchio(2), depth=depth).search(queries, asked, k=5) for depth in (N, 5)
    )
    assert not np.allclose(deep.scores, shallow.scores)


def test_wrong_calls_say_what_is_wrong() -> None:
    documents, queries, sparse, asked = made(3)
    index = ExactIndex.build(sparse)
    for make, said in (
        (lambda: PRF(documents[:5], index), "5 dense and 30 sparse"),
        (lambda: PRF(documents, index, interpolate="pre"), "none, before, after, both"),
        (lambda: PRF(documents), "needs a sparse side"),
        (lambda: PRF(documents, index, depth=3), "do not hold the 5"),
        (lambda: PRF(documents, index, weight=2), "from 0 to 1"),
        (lambda: PRF(documents, index).search(queries, asked, k=N + 1), "k must be from 1"),
        (lambda: PRF(documents, index).search(queries), "no sparse queries"),
        (lambda: PRF(documents, index).search(queries[:2], asked), "same queries"),
        (lambda: PRF(documents, index).search(queries[:, :3], asked), "as wide as the documents"),
        (lambda: PRF(documents, index).search(queries * np.nan, asked), "not finite"),
        (lambda: PRF(np.zeros((0, 3), np.float32), interpolate="none"), "matrix of finite numbers"),
        (lambda: PRF([[1.0, 2.0]], interpolate="none"), "given: list"),
        (lambda: Rocchio(0), "at least 1 document"),
        (lambda: Rocchio(1, -1.0), "at least 0"),
    ):
        with pytest.raises(RetrievalError, match=said):
            make()


def test_blocks_of_queries_find_what_one_block_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    documents, queries, _, _ = made(4)
    whole = DenseDocuments(documents).search(queries, 7)
    monkeypatch.setattr("fewer.retrieval.feedback.vectors._SCORES_AT_ONCE", N)
    parts = DenseDocuments(documents).search(queries, 7)
    assert np.array_equal(whole.documents, parts.documents)
    assert np.array_equal(whole.documents, Ranking.of_all(queries @ documents.T, 7).documents)
