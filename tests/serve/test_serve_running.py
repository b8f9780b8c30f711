"""The server as a process: many clients at once, an end by signal, and by kill -9."""

import contextlib
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from running_server import running

from fewer.retrieval.texts.text_index import TextIndex


@pytest.fixture
def folder(animals, tmp_path):
    return shutil.copytree(animals / "plain", tmp_path / "plain")


def document(name):
    return {"documents": [{"id": name, "title": "", "text": f"winter number {name}"}]}


def test_many_clients_search_while_documents_come_and_go_and_none_is_lost(folder):
    kept, gone = [f"kept{i}" for i in range(60)], [f"gone{i}" for i in range(60)]
    with running(folder) as (_, address), httpx.Client(base_url=address, timeout=30) as client:

        def write(names):
            for name in names:
                assert client.post("/api/documents", json=document(name)).status_code == 201
                if name in gone:
                    assert client.delete(f"/api/documents/{name}").status_code == 200

        def ask(_):
            answer = client.get("/api/search", params={"q": "winter fox"})
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["results"]) >= 3

        with ThreadPoolExecutor(12) as pool:
            writers = [pool.submit(write, names[start::2]) for names in (kept, gone) for start in range(2)]
            list(pool.map(ask, range(300)))
            for writer in writers:
                writer.result()
        client.post("/api/merge")
        found = client.post("/api/search", json={"query": "winter", "k": 62}).json()["results"]
        assert {hit["id"] for hit in found} == {"bird/south", "snow", *kept}
        assert 'fewer_errors_total{route="/api/search"} 0' in client.get("/api/metrics").text


def test_a_signal_ends_it_after_what_it_was_doing(folder):
    answered = []

    def add():
        with httpx.Client(base_url=address) as client, contextlib.suppress(httpx.HTTPError):  # in the end the door is closed
            for number in range(10_000):
                answered.append(client.post("/api/documents", json=document(f"d{number}")).status_code)

    with running(folder) as (process, address):
        asking = threading.Thread(target=add)
        asking.start()
        while len(answered) < 5 and asking.is_alive():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) in (0, -signal.SIGTERM)
        asking.join()
    assert len(answered) >= 5 and set(answered) == {201}
    with TextIndex.open(folder) as index:
        assert len(index) in (4 + len(answered), 5 + len(answered))


def test_everything_acknowledged_is_there_after_kill_9(folder):
    acknowledged = []
    for turn in range(3):
        with running(folder) as (process, address):

            def add(worker, address=address, turn=turn):
                with httpx.Client(base_url=address) as client:
                    for number in range(10_000):
                        name = f"t{turn}-w{worker}-{number}"
                        try:
                            if client.post("/api/documents", json=document(name)).status_code == 201:
                                acknowledged.append(name)
                        except httpx.HTTPError:
                            return

            workers = [threading.Thread(target=add, args=(worker,)) for worker in range(3)]
            for worker in workers:
                worker.start()
            before = len(acknowledged)
            while len(acknowledged) < before + 20 + 7 * turn and any(worker.is_alive() for worker in workers):
                time.sleep(0.005)
            process.kill()
            for worker in workers:
                worker.join()
    assert len(acknowledged) >= 60
    with TextIndex.open(folder) as index:
        assert [name for name in acknowledged if name not in index.store] == []
        last = index.search(acknowledged[-1].replace("-", " "), mode="sparse")
        assert last.hits
        assert len(index) <= 4 + len(acknowledged) + 9  # at most one a worker was on its way


def test_a_taken_port_and_a_folder_in_use_are_said(folder):
    with running(folder) as (_, address):
        with pytest.raises(AssertionError, match="another process writes"), running(folder):
            pass
        port = address.rpartition(":")[2]
        with pytest.raises(AssertionError, match="Give another --port"), running(folder, "--read-only", "--port", port):
            pass
