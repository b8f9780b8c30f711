import numpy as np
import pytest

from fewer.retrieval.collections.collection import kept
from fewer.retrieval.collections.synthetic import ASKED, TOPIC_TERMS, generate, synthetic


@pytest.fixture(scope="module")
def collection():
    return generate(20_000, queries=100)


def test_documents_and_queries_have_the_sizes_of_learned_vectors(collection):
    lengths, asked = np.diff(collection.documents.starts), np.diff(collection.queries.starts)
    assert 96 < lengths.mean() < 98 and lengths.min() >= 60 and lengths.max() < 130
    assert 38 < asked.mean() <= 40


def test_weights_are_log_normal_and_capped(collection):
    values = collection.documents.values
    assert values.max() == 3.5
    assert np.log(np.median(values)) == pytest.approx(-0.7, abs=0.01)
    assert np.log(values[values < 3.5]).std() == pytest.approx(0.8, abs=0.06)


def test_documents_share_terms_within_topics_and_popular_ones_among_all(collection):
    matrix = collection.documents.to_scipy()[:4000]
    matrix.data[:] = 1
    together = (matrix @ matrix.T).toarray()
    np.fill_diagonal(together, 0)
    closest = together.max(1)
    assert np.median(together) < 12 and np.quantile(closest, 0.75) > 20
    frequency = np.bincount(collection.documents.components, minlength=30_000)
    assert frequency[:100].mean() > 30 * frequency[-10_000:].mean()


def test_a_smaller_collection_is_the_beginning_of_a_larger_one(collection):
    small = generate(7_000, queries=100)
    assert np.array_equal(small.documents.values, collection.documents[:7_000].values)
    assert np.array_equal(small.documents.components, collection.documents[:7_000].components)


def test_sizes_from_some_on_have_the_same_queries():
    a, b = generate(ASKED, queries=20), generate(ASKED + 5_000, queries=20)
    assert np.array_equal(a.queries.values, b.queries.values)


def test_another_seed_makes_another_collection(collection):
    assert not np.array_equal(generate(100, seed=1, queries=5).documents.values, generate(100, queries=5).documents.values)


def test_halves_are_apart(collection):
    assert len(collection.tuning) == len(collection.held_out) == 50
    assert np.array_equal(collection.held_out.values, collection.queries[50:].values)
    assert TOPIC_TERMS * 0.75 > 130  # a topic never runs out of terms


def test_it_is_kept_and_made_again_when_its_file_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path))
    first = synthetic(500, queries=10)
    (path,) = tmp_path.rglob("*.npz")
    again = kept(path.stem, lambda: pytest.fail("it is there"))
    assert again.name == first.name == "500 synthetic" and np.array_equal(again.documents.values, first.documents.values)
    path.write_bytes(path.read_bytes()[:-500])
    assert np.array_equal(synthetic(500, queries=10).queries.values, first.queries.values)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
