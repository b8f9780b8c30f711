"""Vectors for OpenSearch, before a server that stands in for it and checks what it is sent."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fewer.errors import RetrievalError
from fewer.retrieval.push import Pushed, opensearch_query, push_opensearch
from fewer.retrieval.vectors import SparseVectors

pytest.importorskip("opensearchpy")

VECTORS = SparseVectors.from_rows([{1: 0.5, 7: 2.0}, {3: 1.0}, {2: 0.25}, {1: 1.0}, {9: 1.5}], 10)
IDS = [f"doc {i}" for i in range(5)]


class Engine(BaseHTTPRequestHandler):
    """The few requests that a push makes, as OpenSearch documents them."""

    def do_HEAD(self) -> None:
        self._answer(200 if self.server.mappings else 404, None)

    def do_PUT(self) -> None:
        self.server.mappings = self._body()["mappings"]
        self._answer(200, {"acknowledged": True})

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/docs/_mget":
            found = [{"_id": i, "found": i in self.server.documents} for i in self._body()["ids"]]
            self._answer(200, {"docs": found})
        elif path == "/_bulk":
            self._bulk()
        elif path == "/docs/_refresh":
            self.server.refreshed = True
            self._answer(200, {})
        else:
            self._answer(404, {"error": path})

    def _bulk(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
        assert raw.endswith("\n"), "a bulk body ends with a line end"
        lines = [json.loads(line) for line in raw.split("\n")[:-1]]
        self.server.batches.append(len(lines) // 2)
        if self.server.broken_at == len(self.server.batches):
            self._answer(400, {"error": "broken"})
            return
        items = []
        for action, source in zip(lines[::2], lines[1::2], strict=True):
            about = action["index"]
            assert about["_index"] == "docs"
            assert all(isinstance(w, float) and w > 0 for w in source["terms"].values())
            if about["_id"] in self.server.minded:
                error = {"type": "mapper_parsing_exception", "reason": "failed to parse"}
                items.append({"index": {"_id": about["_id"], "status": 400, "error": error}})
            else:
                self.server.documents[about["_id"]] = source
                items.append({"index": {"_id": about["_id"], "status": 201}})
        self._answer(200, {"errors": any("error" in i["index"] for i in items), "items": items})

    def _body(self) -> dict:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, status: int, body: dict | None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def engine() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    server.mappings, server.documents, server.batches = None, {}, []
    server.minded, server.broken_at, server.refreshed = set(), 0, False
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_documents_arrive_in_batches_under_a_mapping_of_rank_features(engine) -> None:
    texts = [{"text": f"text {i}"} for i in range(5)]
    assert push_opensearch(engine.address, "docs", IDS, VECTORS, texts, batch=2) == Pushed(5, 0, 0, ())
    assert engine.mappings == {"properties": {"terms": {"type": "rank_features"}}}
    assert engine.batches == [2, 2, 1] and engine.refreshed
    assert engine.documents["doc 0"] == {"text": "text 0", "terms": {"1": 0.5, "7": 2.0}}


def test_pushing_again_sends_what_is_missing_alone(engine) -> None:
    push_opensearch(engine.address, "docs", IDS[:3], VECTORS[:3])
    assert push_opensearch(engine.address, "docs", IDS, VECTORS) == Pushed(2, 3, 0, ())
    assert engine.batches == [3, 2]
    assert push_opensearch(engine.address, "docs", IDS, VECTORS, resume=False) == Pushed(5, 0, 0, ())


def test_refused_documents_are_named_with_the_reason(engine) -> None:
    engine.minded = {"doc 1"}
    pushed = push_opensearch(engine.address, "docs", IDS, VECTORS, batch=3)
    assert (pushed.sent, [tuple(r) for r in pushed.refused]) == (4, [("doc 1", "400 failed to parse")])
    assert set(engine.documents) == {"doc 0", "doc 2", "doc 3", "doc 4"}


def test_a_request_that_fails_says_how_far_it_came_and_can_be_taken_up(engine) -> None:
    engine.broken_at = 2
    with pytest.raises(RetrievalError, match="2 of 5 documents were sent; push again"):
        push_opensearch(engine.address, "docs", IDS, VECTORS, batch=2)
    assert push_opensearch(engine.address, "docs", IDS, VECTORS, batch=2) == Pushed(3, 2, 0, ())


def test_terms_can_have_names(engine) -> None:
    push_opensearch(engine.address, "docs", IDS, VECTORS, term=lambda c: f"word{c}")
    assert engine.documents["doc 1"]["terms"] == {"word3": 1.0}
    with pytest.raises(RetrievalError, match="one name"):
        push_opensearch(engine.address, "docs", IDS, VECTORS, term=lambda c: "same", resume=False)


def test_a_field_of_the_vectors_name_is_an_error(engine) -> None:
    with pytest.raises(RetrievalError, match="has a field 'terms' already"):
        push_opensearch(engine.address, "docs", IDS[:1], VECTORS[:1], [{"terms": "mine"}])


def test_a_query_carries_its_weights() -> None:
    body = opensearch_query(VECTORS, 0, k=3)
    assert body == {"size": 3, "query": {"neural_sparse": {"terms": {"query_tokens": {"1": 0.5, "7": 2.0}}}}}


def test_nothing_to_send_is_no_error(engine) -> None:
    assert push_opensearch(engine.address, "docs", ["a"], SparseVectors.from_rows([{}], 3)) == Pushed(0, 0, 1, ())
    assert engine.batches == []


def test_no_server_at_all_is_an_error() -> None:
    with pytest.raises(RetrievalError, match="0 of 5 documents were sent"):
        push_opensearch("http://127.0.0.1:9", "docs", IDS, VECTORS)
