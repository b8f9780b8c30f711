"""The API, without a network."""

import json
import shutil

import pytest
from fastapi.testclient import TestClient
from running_server import stand_in

from fewer.errors import RetrievalError
from fewer.serve.app import create_app
from fewer.serve.shelf import Shelf


@pytest.fixture
def client(animals, tmp_path):
    shutil.copytree(animals, tmp_path / "indexes")
    with stand_in(), TestClient(create_app(Shelf.open(tmp_path / "indexes"), largest_body=20_000)) as found:
        yield found


def problem(answer, status):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["status"] == status
    return error["message"]


@pytest.mark.parametrize("mode", ["sparse", "dense", "fused"])
@pytest.mark.parametrize("path", ["/api", "/api/animals"])
def test_search_finds_marks_and_says_how_long_it_took(client, path, mode):
    found = client.post(f"{path}/search", json={"query": "lazy dog", "k": 2, "mode": mode}).json()
    assert (found["index"], found["mode"], found["documents"]) == ("animals", mode, 4)
    first = found["results"][0]
    assert first["id"] in ("dog", "fox")
    assert "dog" in {first["excerpt"][start:stop] for start, stop in first["marks"]}
    assert found["search_ms"] > 0


def test_search_by_get_is_the_same(client):
    by_post = client.post("/api/plain/search", json={"query": "winter"}).json()
    by_get = client.get("/api/plain/search", params={"q": "winter"}).json()
    assert by_get["results"] == by_post["results"]
    assert {hit["id"] for hit in by_get["results"]} == {"bird/south", "snow"}
    assert by_get["mode"] == "sparse"


def test_an_explanation_multiplies_weights_and_adds_up(client):
    score = client.get("/api/search", params={"q": "winter snow", "mode": "sparse"}).json()["results"][0]["score"]
    for why in (
        client.get("/api/explain", params={"q": "winter snow", "id": "snow"}).json(),
        client.post("/api/explain", json={"query": "winter snow", "id": "snow"}).json(),
    ):
        assert {term["term"] for term in why["terms"]} == {"winter", "snow"}
        assert all(term["contribution"] == pytest.approx(term["query"] * term["document"]) for term in why["terms"])
        assert why["score"] == pytest.approx(score, rel=1e-5)


def test_documents_come_are_replaced_and_go(client):
    added = client.post("/api/plain/documents", json={"documents": [{"id": "a b/ç#1", "text": "Zebras have stripes."}]})
    assert (added.status_code, added.json()) == (201, {"added": 1, "documents": 5})
    assert client.get("/api/plain/documents/a%20b%2F%C3%A7%231").json()["text"] == "Zebras have stripes."
    assert client.get("/api/plain/search", params={"q": "zebra"}).json()["results"][0]["id"] == "a b/ç#1"
    client.post("/api/plain/documents", json={"documents": [{"id": "a b/ç#1", "text": "Giraffes."}]})
    assert client.get("/api/plain/search", params={"q": "giraffe"}).json()["documents"] == 5
    assert client.delete("/api/plain/documents/a%20b%2F%C3%A7%231").json() == {"deleted": 1, "documents": 4}
    assert problem(client.get("/api/plain/documents/a%20b%2F%C3%A7%231"), 404)
    assert client.post("/api/plain/documents/delete", json={"ids": ["snow", "absent"]}).json() == {"deleted": 1, "documents": 3}
    assert client.post("/api/plain/merge").json()["segments"] == 1
    assert client.get("/api/animals/search", params={"q": "snow"}).json()["documents"] == 4  # another index


def test_vectors_of_ones_own_are_searched_and_added(client):
    own = {"components": [7, 60_000], "values": [1.5, 2]}
    client.post("/api/plain/documents", json={"documents": [{"id": "own", "text": "a picture", "vector": own}]})
    found = client.post("/api/plain/search", json={"vector": {"components": [60_000], "values": [0.5]}}).json()
    assert [(hit["id"], hit["score"]) for hit in found["results"]] == [("own", 1.0)]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"query": ""}, "empty"),
        ({"query": "  "}, "empty"),
        ({"query": "qwrtz"}, "known"),
        ({}, "give a query or a vector"),
        ({"query": "dog", "vector": {"components": [1], "values": [1]}}, "one of them"),
        ({"query": "dog", "k": 5}, "number of documents, 4; given: 5"),
        ({"query": "dog", "k": 0}, "body.k"),
        ({"query": "dog", "k": 10**9}, "body.k"),
        ({"query": "dog", "k": "3"}, "body.k"),
        ({"query": "dog", "mode": "magic"}, "body.mode"),
        ({"query": "dog", "mode": "dense"}, "without dense vectors"),
        ({"query": "x" * 2001}, "body.query"),
        ({"query": "dog", "surprise": 1}, "body.surprise"),
        ({"vector": {"components": [], "values": []}}, "body.vector"),
        ({"vector": {"components": [1], "values": [-1]}}, "body.vector.values"),
        ({"vector": {"components": [1], "values": [0]}}, "body.vector.values"),
        ({"vector": {"components": [1], "values": [float("nan")]}}, "body.vector.values"),
        ({"vector": {"components": [1], "values": [float("inf")]}}, "body.vector.values"),
        ({"vector": {"components": [-1], "values": [1]}}, "body.vector.components"),
        ({"vector": {"components": [2**40], "values": [1]}}, "body.vector.components"),
        ({"vector": {"components": [2**30], "values": [1]}}, "dimension"),
        ({"vector": {"components": [2, 1], "values": [1, 1]}}, "ascend"),
        ({"vector": {"components": [1, 1], "values": [1, 1]}}, "twice"),
        ({"vector": {"components": [1, 2], "values": [1]}}, "every component needs a value"),
    ],
)
def test_a_wrong_search_is_a_clear_422(client, body, says):
    answer = client.post("/api/plain/search", content=json.dumps(body), headers={"content-type": "application/json"})
    assert says in problem(answer, 422)


@pytest.mark.parametrize(
    "documents",
    [
        [],
        [{"id": "", "text": "dog"}],
        [{"id": "x" * 513, "text": "dog"}],
        [{"id": "x", "text": 5}],
        [{"id": "x"}],
        [{"id": "x", "text": "..."}],
        [{"id": "x", "text": "dog"}, {"id": "x", "text": "dog"}],
        [{"id": "x", "text": "dog"}, {"id": "y", "text": "dog", "vector": {"components": [1], "values": [1]}}],
        [{"id": str(i), "text": "d"} for i in range(1001)],
    ],
)
def test_wrong_documents_are_a_422_and_none_is_kept(client, documents):
    problem(client.post("/api/plain/documents", json={"documents": documents}), 422 if len(documents) < 1000 else 413)
    assert client.get("/api/health").json()["indexes"][1]["documents"] == 4


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'"dog"', b"NaN"])
def test_a_body_that_is_no_object_is_a_422(client, content):
    headers = {"content-type": "application/json"}
    problem(client.post("/api/search", content=content, headers=headers), 422)


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc", "A", "a_b", "a%00b", "ä", "x" * 65, "animals%2f..%2fplain", "absent"]
)
def test_a_name_that_is_no_index_is_refused(client, name):
    answer = client.get(f"/api/{name}/documents/fox")
    assert answer.status_code in (404, 422)
    assert answer.json()["error"]["message"]


def test_a_large_body_is_refused_before_it_is_parsed(client):
    said = problem(client.post("/api/search", content=b"{" * 20_001), 413)
    assert "20,000 bytes" in said

    def pieces():
        yield b"{" * 15_000
        yield b"{" * 15_000

    problem(client.post("/api/search", content=pieces()), 413)


def test_only_known_paths_and_methods_answer(client):
    assert problem(client.get("/nowhere"), 404)
    assert problem(client.get("/search.py"), 404)
    assert problem(client.get("/docs"), 404)
    assert problem(client.put("/api/search"), 405)


def test_unknown_documents_are_404(client):
    for answer in (
        client.get("/api/documents/absent"),
        client.delete("/api/documents/absent"),
        client.get("/api/explain", params={"q": "dog", "id": "absent"}),
    ):
        assert "absent" in problem(answer, 404)


def test_writes_from_another_sites_page_are_refused(client):
    add = {"documents": [{"id": "x", "text": "dog"}]}
    problem(client.post("/api/documents", json=add, headers={"origin": "https://elsewhere.example"}), 403)
    assert client.post("/api/documents", json=add, headers={"origin": "http://testserver"}).status_code == 201


def test_every_answer_carries_the_security_headers(client):
    for answer in (
        client.get("/"),
        client.get("/api/health"),
        client.get("/nowhere"),
        client.post("/api/search", content=b"{"),
    ):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers


def test_metrics_count_requests_errors_and_documents(client):
    for _ in range(3):
        client.get("/api/animals/search", params={"q": "dog"})
    client.get("/api/animals/search", params={"q": ""})
    lines = client.get("/api/metrics").text.splitlines()
    route = 'route="/api/{index}/search"'
    assert f'fewer_requests_total{{method="GET",{route},status="200"}} 3' in lines
    assert f'fewer_requests_total{{method="GET",{route},status="422"}} 1' in lines
    assert f"fewer_errors_total{{{route}}} 1" in lines
    assert f'fewer_request_seconds_bucket{{{route},le="+Inf"}} 4' in lines
    assert f"fewer_request_seconds_count{{{route}}} 4" in lines
    assert 'fewer_index_documents{index="animals"} 4' in lines
    assert any(line.startswith('fewer_index_segments{index="plain"} ') for line in lines)


def test_every_endpoint_is_documented(client):
    paths = client.get("/api/openapi.json").json()["paths"]
    for name in ("search", "explain", "documents", "documents/{id}", "documents/delete", "merge", "measured"):
        assert paths.keys() >= {f"/api/{name}", f"/api/{{index}}/{name}"}
    assert all(call["description"] for path in paths.values() for call in path.values())
    assert "422" in paths["/api/search"]["post"]["responses"]


def test_what_was_measured_is_told(client):
    assert client.get("/api/measured").json()["kind"] == "seismic"
    assert "nothing was measured" in problem(client.get("/api/plain/measured"), 404)
    assert [state["measured"] for state in client.get("/api/health").json()["indexes"]] == [True, False]


def test_a_read_only_server_searches_and_refuses_to_write(animals):
    with stand_in(), TestClient(create_app(Shelf.open(animals, read_only=True), read_only=True)) as client:
        assert client.get("/api/search", params={"q": "dog"}).status_code == 200
        assert "read-only" in problem(client.post("/api/documents", json={"documents": [{"id": "x", "text": "dog"}]}), 403)
        assert "read-only" in problem(client.delete("/api/documents/fox"), 403)
        assert "read-only" in problem(client.post("/api/merge"), 403)


def test_other_hosts_names_are_refused_where_hosts_are_named(animals):
    with TestClient(create_app(Shelf.open(animals, read_only=True), hosts=("localhost",))) as client:
        assert client.get("/api/health").status_code == 400
        assert client.get("/api/health", headers={"host": "localhost:8808"}).status_code == 200


def test_a_failure_inside_is_a_500_that_tells_nothing_of_it(client, monkeypatch):
    monkeypatch.setattr(type(client.app.state.shelf["animals"]), "search", lambda *_: 1 / 0)
    quiet = TestClient(client.app, raise_server_exceptions=False)
    said = problem(quiet.get("/api/search", params={"q": "dog"}), 500)
    assert "division" not in said


def test_an_index_folder_takes_its_name_and_a_folder_without_one_is_an_error(animals, tmp_path):
    shutil.copytree(animals / "plain", tmp_path / "My Texts!")
    shelf = Shelf.open(tmp_path / "My Texts!")
    assert list(shelf) == ["my-texts"]
    shelf.close()
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(RetrievalError, match="holds none"):
            Shelf.open(folder)
    with pytest.raises(RetrievalError, match="My Texts!"):
        Shelf.open(tmp_path)
