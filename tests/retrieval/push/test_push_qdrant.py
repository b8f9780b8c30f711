"""Vectors in Qdrant, in its in-memory mode."""

import numpy as np
import pytest

from fewer.errors import RetrievalError
from fewer.retrieval.index.exact import ExactIndex
from fewer.retrieval.push import Pushed, push_qdrant, qdrant_query
from fewer.retrieval.push.qdrant import point_id
from fewer.retrieval.vectors import SparseVectors

qdrant_client = pytest.importorskip("qdrant_client")


def some(rows: int, seed: int = 0) -> SparseVectors:
    generator = np.random.default_rng(seed)
    return SparseVectors.from_rows(
        [{int(c): float(generator.uniform(0.1, 2)) for c in generator.permutation(30)[:8]} for _ in range(rows)], 30
    )


VECTORS = some(50)
IDS = [f"doc/{i}" for i in range(50)]


def test_qdrant_finds_what_the_exact_index_finds() -> None:
    client = qdrant_client.QdrantClient(":memory:")
    seen: list[tuple[int, int]] = []
    index = ExactIndex.build(VECTORS)
    texts = [{"text": f"text {i}"} for i in range(50)]
    pushed = push_qdrant(client, "docs", IDS, index, texts, batch=16, progress=lambda *at: seen.append(at))
    assert pushed == Pushed(50, 0, 0, ())
    assert seen == [(16, 50), (32, 50), (48, 50), (50, 50)]
    queries = some(5, seed=1)
    hits = index.search(queries, 5)
    for row in range(5):
        points = client.query_points("docs", query=qdrant_query(queries, row), using="terms", limit=5).points
        assert [p.payload["id"] for p in points] == [IDS[d] for d in hits.documents[row]]
        assert [p.score for p in points] == pytest.approx(hits.scores[row].tolist(), rel=1e-5)
        assert points[0].payload["text"] == f"text {hits.documents[row][0]}"


def test_pushing_again_sends_what_is_missing_alone() -> None:
    client = qdrant_client.QdrantClient(":memory:")
    push_qdrant(client, "docs", IDS[:20], VECTORS[:20])
    assert push_qdrant(client, "docs", IDS, VECTORS, batch=7) == Pushed(30, 20, 0, ())
    assert client.count("docs").count == 50
    assert push_qdrant(client, "docs", IDS, VECTORS, resume=False) == Pushed(50, 0, 0, ())
    assert client.count("docs").count == 50


def test_a_broken_connection_says_how_far_it_came_and_can_be_taken_up() -> None:
    client = qdrant_client.QdrantClient(":memory:")
    upsert, calls = client.upsert, []

    def breaking(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise ConnectionError("gone")
        return upsert(*args, **kwargs)

    client.upsert = breaking
    with pytest.raises(RetrievalError, match=r"gone.*20 of 50 documents were sent"):
        push_qdrant(client, "docs", IDS, VECTORS, batch=10)
    assert push_qdrant(client, "docs", IDS, VECTORS, batch=10) == Pushed(30, 20, 0, ())


def test_a_refused_document_is_named_and_the_rest_of_its_batch_arrives() -> None:
    from qdrant_client.http.exceptions import UnexpectedResponse

    client = qdrant_client.QdrantClient(":memory:")
    upsert = client.upsert

    def picky(collection, points, wait):
        if any(p.id == point_id("doc/3") for p in points):
            raise UnexpectedResponse(400, "Bad Request", b"no threes", {})
        return upsert(collection, points=points, wait=wait)

    client.upsert = picky
    pushed = push_qdrant(client, "docs", IDS, VECTORS, batch=10)
    assert (pushed.sent, [tuple(r) for r in pushed.refused]) == (49, [("doc/3", "400 no threes")])
    assert client.count("docs").count == 49


def test_empty_documents_are_left_out_and_counted() -> None:
    client = qdrant_client.QdrantClient(":memory:")
    vectors = SparseVectors.from_rows([{1: 1.0}, {}, {2: 1.0}], 3)
    assert push_qdrant(client, "docs", ["a", "b", "c"], vectors) == Pushed(2, 0, 1, ())


@pytest.mark.parametrize(
    ("ids", "documents", "batch", "said"),
    [
        (["a"], None, 1, "needs an id"),
        (["a", "a"], None, 1, "each once"),
        (["a", ""], None, 1, "none empty"),
        (["a", 3], None, 1, "are texts"),
        (["a", "b"], [{}], 1, "all or none"),
        (["a", "b"], None, 0, "at least 1 document"),
        (["a", "b"], [{"id": "z"}, {}], 2, "another `id`"),
    ],
)
def test_wrong_input_says_what_is_wrong(ids: list, documents: list | None, batch: int, said: str) -> None:
    client = qdrant_client.QdrantClient(":memory:")
    with pytest.raises(RetrievalError, match=said):
        push_qdrant(client, "docs", ids, VECTORS[:2], documents, batch=batch)
