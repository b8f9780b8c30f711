import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.errors import RetrievalError
from fewer.kernels.cpu import impact as kernel
from fewer.retrieval.index.forward import aligned
from fewer.retrieval.index.impact import ImpactHow, ImpactIndex
from fewer.retrieval.vectors import SparseVectors


def vectors(rows: int, seed: int, dimension: int = 300) -> SparseVectors:
    made = scipy.sparse.random(rows, dimension, density=0.08, format="csr", random_state=seed, dtype=np.float32)
    made.sum_duplicates()
    keep = np.flatnonzero(np.diff(made.indptr))
    return SparseVectors.from_scipy(made[keep])


@pytest.mark.parametrize("values", ["float16", "float32", "uint8"])
@pytest.mark.parametrize("chunk", [32, 65504])
@pytest.mark.parametrize("cut", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("row", [0.08, 2.0])
def test_an_exact_search_finds_what_a_matrix_product_finds(values, chunk, cut, row):
    documents, queries = vectors(500, 0), vectors(20, 1)
    index = ImpactIndex.build(documents, values=values, chunk=chunk, row=row)
    found = index.search(queries, 10, ImpactHow(cut=cut, exact=True))
    scores = (queries.to_scipy() @ index.vectors().to_scipy().T).toarray()
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :10], rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(scores, found.documents, 1), found.scores, rtol=1e-5)


def test_with_every_posting_and_every_document_it_is_exact():
    documents, queries = vectors(400, 2), vectors(20, 3)
    index = ImpactIndex.build(documents, chunk=128)
    everything = index.search(queries, 5, ImpactHow(cut=0, candidates=400, gamma=0))
    assert (everything.documents == index.search(queries, 5, ImpactHow(exact=True)).documents).all()


@pytest.mark.parametrize("exact", [False, True])
def test_the_dead_are_not_found(exact):
    documents, queries = vectors(300, 4), vectors(10, 5)
    alive = np.arange(len(documents)) % 2 == 0
    found = ImpactIndex.build(documents).search(queries, 10, ImpactHow(cut=0, exact=exact), alive=alive)
    assert (found.documents % 2 == 0).all()


@pytest.mark.parametrize("alive_from", [20, 200, 295])
def test_an_exact_search_finds_the_living_of_any_chunk(alive_from):
    documents, queries = vectors(300, 4), vectors(10, 5)
    alive = np.arange(len(documents)) >= alive_from
    index = ImpactIndex.build(documents, chunk=32)
    found = index.search(queries, 10, ImpactHow(cut=0.3, exact=True), alive=alive)
    scores = np.where(alive, (queries.to_scipy() @ index.vectors().to_scipy().T).toarray(), 0)
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :10], rtol=1e-5)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(0, 65535), max_size=200), st.integers(1, 220))
def test_the_kth_largest_counter(counts, k):
    room = aligned(2 * 256).view(np.uint16)
    room[:] = 7  # what lies behind the counters must not count
    room[: len(counts)] = counts
    expected = sorted(counts)[-k] if k <= len(counts) else 0
    assert kernel._kth(room.ctypes.data, len(counts), k) == expected


def test_arrays_and_settings_are_the_whole_index():
    documents, queries = vectors(300, 6), vectors(10, 7)
    index = ImpactIndex.build(documents)
    again = ImpactIndex.from_arrays(index.arrays(), index.settings())
    assert (again.search(queries, 10).documents == index.search(queries, 10).documents).all()


def test_a_chunk_that_no_vector_divides_is_refused():
    with pytest.raises(RetrievalError, match="chunk must be a multiple of 32"):
        ImpactIndex.build(vectors(50, 8), chunk=33)
