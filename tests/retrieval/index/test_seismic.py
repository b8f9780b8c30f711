"""Seismic against hand-computed numbers, its numpy form, exhaustive search and the paper's own implementation."""

import importlib.util
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.errors import RetrievalError
from fewer.kernels.dispatch import cpu_path, has_avx512
from fewer.retrieval.index.exact import ExactIndex
from fewer.retrieval.index.index import Hits
from fewer.retrieval.index.seismic import SeismicIndex
from fewer.retrieval.index.seismic_options import SeismicHow, SeismicOptions
from fewer.retrieval.index.seismic_pruning import prune
from fewer.retrieval.index.seismic_reference import ReferenceSearcher
from fewer.retrieval.vectors import SparseVectors

PATHS = ["portable", *(["avx512"] if has_avx512() else [])]
EVERYTHING = SeismicHow(query_cut=1000, heap_factor=0)


def clustered(documents: int, dimension: int = 300, seed: int = 0, length: int = 25) -> SparseVectors:
    """Rows that share terms within one of ten topics."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(documents):
        topic = rng.integers(10)
        own = rng.choice(dimension // 10, length // 2, replace=False) * 10 + topic
        chosen = np.union1d(own, rng.integers(dimension, size=length // 2))
        rows.append(dict(zip(chosen.tolist(), rng.lognormal(-0.5, 0.8, len(chosen)).tolist(), strict=True)))
    return SparseVectors.from_rows(rows, dimension)


def like(index: SeismicIndex, queries: SparseVectors, k: int, how: SeismicHow, alive: np.ndarray | None = None) -> Hits:
    """The answers of the numpy form."""
    n = len(queries)
    hits = Hits(np.full((n, k), -1, np.int64), np.zeros((n, k), np.float32), np.zeros(n, np.int64))
    ReferenceSearcher(index.forward, index.blocks, index.neighbours, k, how, alive).run(queries, hits)
    return hits


@pytest.fixture
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEWER_KERNELS", request.param)
    cpu_path.cache_clear()
    yield request.param
    monkeypatch.undo()
    cpu_path.cache_clear()


every_path = pytest.mark.parametrize("path", PATHS, indirect=True)


@every_path
def test_a_tiny_index_is_what_the_hand_computes(path):
    vectors = SparseVectors.from_rows([{0: 4, 1: 1}, {0: 3, 2: 2}, {0: 2, 1: 3}, {0: 1, 3: 5}, {1: 2}], 4)
    index = SeismicIndex.build(vectors, blocking="chunks", block_size=2, summary_energy=0.6, values="float32")
    # lists by falling value: 0: documents 0 1 2 3; 1: 2 4 0; 2: 1; 3: 3
    assert index.blocks.postings.tolist() == [0, 1, 2, 3, 2, 4, 0, 1, 3]
    assert index.blocks.block_starts.tolist() == [0, 2, 4, 6, 7, 8, 9]
    assert index.blocks.list_blocks.tolist() == [0, 2, 4, 5, 6]
    # block of documents 0 and 1: maxima 4 1 2, of which 4 and 2 pass .6 of 7; of 2 and 3: 2 3 5, of which 5 and 3 pass .6 of 10
    (first, its), (second, others) = index.blocks.summaries(0)
    assert (first.tolist(), its.tolist()) == ([0, 2], [4, 2])
    assert (second.tolist(), others.tolist()) == ([1, 3], [3, 5])
    query = SparseVectors.from_rows([{0: 1, 2: 1}], 4)
    # the first block promises 6 and gives 4 and 5; the second one promises 0, and is not opened
    hits = index.search(query, 2, SeismicHow(heap_factor=1))
    assert (hits.documents.tolist(), hits.scores.tolist(), hits.scored.tolist()) == ([[1, 0]], [[5, 4]], [2])


@every_path
@pytest.mark.parametrize("blocking", ["exact", "inverted-index", "inverted-index-approx", "chunks"])
@pytest.mark.parametrize("dimension", [300, 70_000])
def test_the_kernel_scores_the_documents_that_the_numpy_form_scores(path, blocking, dimension):
    vectors = clustered(2500, dimension)
    queries = clustered(12, dimension, seed=1, length=10)
    index = SeismicIndex.build(vectors, blocking=blocking, nknn=3, centroid_fraction=0.5, threads=1)
    alive = np.random.default_rng(0).random(len(vectors)) < 0.6
    for how in (SeismicHow(), SeismicHow(3, 0.9, 2), SeismicHow(5, 1.0, first_sorted=False)):
        for living in (None, alive):
            ours, reference = index.search(queries, 5, how, alive=living), like(index, queries, 5, how, living)
            np.testing.assert_allclose(ours.scores, reference.scores, rtol=1e-5)
            np.testing.assert_array_equal(ours.scored, reference.scored)
            assert living is None or living[ours.documents[ours.documents >= 0]].all()


def test_both_forms_of_summaries_are_used():
    index = SeismicIndex.build(clustered(2500), centroid_fraction=0.9, min_cluster_size=0)
    counts = np.diff(index.blocks.list_blocks.astype(int))
    assert counts.min() <= 128 < counts.max()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), documents=st.integers(2, 120), k=st.integers(1, 12))
def test_nothing_pruned_and_nothing_skipped_is_exhaustive_search(seed, documents, k):
    vectors, queries = clustered(documents, seed=seed), clustered(5, seed=seed + 1)
    k = min(k, documents)
    index = SeismicIndex.build(vectors, seed=seed, values="float32", threads=1)
    ours, exact = index.search(queries, k, EVERYTHING), ExactIndex.build(vectors).search(queries, k)
    np.testing.assert_allclose(ours.scores, exact.scores, rtol=1e-5)
    assert ((ours.documents < 0) == (exact.documents < 0)).all()
    shared = (queries.to_scipy() @ vectors.to_scipy().T).toarray() > 0
    np.testing.assert_array_equal(ours.scored, shared.sum(1))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), blocking=st.sampled_from(["exact", "inverted-index", "inverted-index-approx", "chunks"]))
def test_every_posting_lies_in_one_block_and_every_summary_is_below_the_envelope(seed, blocking):
    vectors = clustered(150, seed=seed)
    options = SeismicOptions(n_postings=6, blocking=blocking, seed=seed, centroid_fraction=0.2)
    kept, index = (
        prune(vectors, options),
        SeismicIndex.build(vectors, **{f.name: getattr(options, f.name) for f in fields(options)}),
    )
    dense = vectors.to_scipy().toarray()
    for component in range(0, vectors.dimension, 37):
        first, last = index.blocks.list_blocks[component : component + 2].astype(int)
        starts = index.blocks.block_starts[first : last + 1].astype(int)
        mine = index.blocks.postings[slice(*kept.starts[component : component + 2])]
        assert sorted(mine) == sorted(kept.documents[slice(*kept.starts[component : component + 2])])
        for (its, by), low, high in zip(index.blocks.summaries(component), starts[:-1], starts[1:], strict=True):
            envelope = dense[index.blocks.postings[low:high]].max(0)
            step = index.blocks.summary_scales[first + np.searchsorted(starts, low), 1]
            assert (np.abs(by - envelope[its]) <= step / 2 + 1e-5).all()
            # the shortest prefix of the sorted envelope that reaches the share
            ranked = np.sort(envelope)[::-1].astype(np.float64)
            assert len(its) == np.searchsorted(np.cumsum(ranked), 0.4 * ranked.sum() * (1 - 1e-12)) + 1
            assert envelope[its].min() >= ranked[len(its) - 1]


def test_pruning_keeps_the_largest_of_all_with_a_cap_on_each_list():
    vectors = clustered(200)
    flat = np.sort(vectors.values)[::-1]
    kept = prune(vectors, SeismicOptions(n_postings=5, max_fraction=2))
    counts = np.diff(kept.starts)
    above = np.bincount(vectors.components[vectors.values >= flat[5 * 300 - 1]], minlength=300)
    np.testing.assert_array_equal(counts, np.minimum(above, 10))
    fixed = prune(vectors, SeismicOptions(pruning="fixed", n_postings=7))
    np.testing.assert_array_equal(np.diff(fixed.starts), np.minimum(np.bincount(vectors.components, minlength=300), 7))
    dense = vectors.to_scipy().toarray()
    for component in (0, 11, 299):
        listed = fixed.documents[slice(*fixed.starts[component : component + 2])]
        np.testing.assert_array_equal(listed, np.argsort(-dense[:, component], kind="stable")[: len(listed)])


def test_small_clusters_are_dissolved_into_the_best_of_the_others():
    vectors = clustered(400)
    index = SeismicIndex.build(vectors, blocking="exact", min_cluster_size=2)
    starts, lists = index.blocks.block_starts.astype(int), index.blocks.list_blocks
    for component in range(300):
        sizes = np.diff(starts[lists[component] : lists[component + 1] + 1])
        # all are dissolved only where none is larger: then nothing is
        assert len(sizes) < 2 or sizes.min() > 2 or sizes.max() <= 2


def test_the_twins_keep_sizes_and_change_the_rest():
    vectors = clustered(600)
    index = SeismicIndex.build(vectors, n_postings=10)
    shuffled, random = (SeismicIndex.build(vectors, n_postings=10, **twin) for twin in ({"shuffle": True}, {"keep": "random"}))
    np.testing.assert_array_equal(index.blocks.block_starts, shuffled.blocks.block_starts)
    assert (index.blocks.postings != shuffled.blocks.postings).any()
    assert len(index.blocks.postings) == len(random.blocks.postings)
    assert set(index.blocks.postings) != set(random.blocks.postings) or (index.blocks.postings != random.blocks.postings).any()
    queries = clustered(4, seed=1)
    hits = index.search(queries, 10, SeismicHow(random_until=30))
    assert hits.scored.tolist() == [30] * 4
    other = index.search(queries, 10, SeismicHow(random_until=30, seed=1))
    assert (hits.documents != other.documents).any()


def test_the_index_does_not_depend_on_threads():
    vectors = clustered(500)
    one, three = (SeismicIndex.build(vectors, threads=threads).arrays() for threads in (1, 3))
    assert all((one[name] == three[name]).all() for name in one)


@pytest.mark.parametrize("options", [{}, {"values": "uint8", "nknn": 2}, {"values": "float32", "summary": "fixed"}])
def test_arrays_and_settings_bring_it_back(options):
    vectors, queries = clustered(300), clustered(6, seed=1)
    index = SeismicIndex.build(vectors, **options)
    again = SeismicIndex.from_arrays(index.arrays(), index.settings())
    assert again.settings() == index.settings()
    for ours, theirs in zip(index.search(queries), again.search(queries), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert again.vectors().to_scipy().nnz == vectors.to_scipy().nnz


def test_threads_of_a_search_answer_alike():
    index, queries = SeismicIndex.build(clustered(500)), clustered(31, seed=1)
    for one, four in zip(index.search(queries, 7), index.search(queries, 7, threads=4), strict=True):
        np.testing.assert_array_equal(one, four)


def test_neighbours_are_others_and_padded():
    index = SeismicIndex.build(SparseVectors.from_rows([{0: 1.0}, {0: 2.0}, {1: 1.0}, {}], 2), nknn=2)
    assert index.neighbours.tolist() == [[1, -1], [0, -1], [-1, -1], [-1, -1]]


def test_an_index_of_no_entries_finds_nothing():
    index = SeismicIndex.build(SparseVectors.from_rows([{}, {}], 3), nknn=1)
    hits = index.search(SparseVectors.from_rows([{1: 1.0}], 3), 2)
    assert (hits.documents.tolist(), hits.scored.tolist()) == ([[-1, -1]], [0])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"blocking": "kmeans"}, "blocking must be one of"),
        ({"summary_energy": 0}, "summary_energy must be above 0"),
        ({"n_postings": 0}, "n_postings must be at least 1"),
        ({"max_fraction": float("nan")}, "max_fraction must be at least 1"),
        ({"lists": 3}, "has no option 'lists'"),
    ],
)
def test_options_out_of_range_are_named(given, said):
    with pytest.raises(RetrievalError, match=said):
        SeismicIndex.build(clustered(10), **given)


def test_more_neighbours_than_are_kept_are_refused():
    with pytest.raises(RetrievalError, match="n_knn is 3, but the index keeps 1"):
        SeismicIndex.build(clustered(20), nknn=1).search(clustered(1), 1, SeismicHow(n_knn=3))
    with pytest.raises(RetrievalError, match="heap_factor must be at least 0"):
        SeismicHow(heap_factor=-1)


@pytest.mark.skipif(importlib.util.find_spec("seismic") is None, reason="pyseismic-lsr is not installed")
def test_recall_is_that_of_the_papers_implementation(tmp_path):
    from seismic import SeismicIndexRaw

    vectors, queries = clustered(3000, 2000), clustered(80, 2000, seed=1)
    words = [np.uint32([len(vectors)])]
    for row in range(len(vectors)):
        components, values = vectors.row(row)
        words += [np.uint32([len(components)]), components.astype(np.uint32), values.view(np.uint32)]
    (tmp_path / "vectors.bin").write_bytes(np.concatenate(words).tobytes())
    peer = SeismicIndexRaw.build(str(tmp_path / "vectors.bin"), n_postings=20)
    index = SeismicIndex.build(vectors, n_postings=20)
    truth = ExactIndex.build(vectors).search(queries, 10).documents
    for cut, factor in ((3, 1.0), (5, 0.8), (10, 0.7)):
        ours = index.search(queries, 10, SeismicHow(cut, factor)).documents
        theirs = [
            [document for _, document in peer.search(*queries.row(row), 10, cut, factor, 0, True)]
            for row in range(len(queries))
        ]
        shares = [
            np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]) / 10 for found in (ours, theirs)
        ]
        assert abs(shares[0] - shares[1]) < 0.03
