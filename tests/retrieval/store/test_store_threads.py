"""Threads search while one writes: no error, and every answer is of one moment."""

import threading

import pytest
from small_store import ASK_ALL, add, create, everything, vectors


def test_searches_go_on_while_documents_come_go_and_are_merged(tmp_path, monkeypatch):
    monkeypatch.setattr("fewer.retrieval.store.store.SEALED_AT", 5)
    errors, answers, done = [], [], threading.Event()
    with create(tmp_path / "s") as store:
        add(store, {"fixed": {0: 8.0}, "pair-left": {1: 1.0}, "pair-right": {1: 1.0}})

        def search():
            try:
                while not done.is_set():
                    [found, pair] = store.search(vectors({0: 1.0}, {1: 1.0}), 3)
                    assert (found[0].id, found[0].score) == ("fixed", 8.0)
                    # both are replaced in one call: no search sees one of them old and one new, missing, or twice
                    assert [match.id for match in pair] == ["pair-left", "pair-right"] and pair[0].score == pair[1].score
                    assert store.document("fixed").text == "fixed"
                    store.search_dense([[1, 0]], 3)
                    answers.append(1)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(60):
            add(store, {f"n{number}": {2: 1.0}, f"m{number}": {3: 1.0}})
            add(store, {name: {1: 1.0 + number} for name in ("pair-left", "pair-right")})
            store.delete([f"n{number}"])
            if number % 20 == 19:
                store.merge()
        done.set()
        for thread in threads:
            thread.join()
        assert not errors and answers
        assert set(everything(store)) == {"fixed", "pair-left", "pair-right", *(f"m{number}" for number in range(60))}


def test_deletions_during_a_merge_are_kept(tmp_path, monkeypatch):
    """The merge is held after it read its segments, until documents it took were deleted and replaced."""
    import fewer.retrieval.store.store as module

    real, began, go_on = module.write_segment, threading.Event(), threading.Event()

    def held(*given):
        made = real(*given)
        if threading.current_thread() is not threading.main_thread():
            began.set()
            go_on.wait(20)
        return made

    monkeypatch.setattr(module, "write_segment", held)
    with create(tmp_path / "s") as store:
        add(store, {name: {0: 1.0} for name in "abcdef"})
        store._seal(store._view)
        store.delete(["f"])
        merge = threading.Thread(target=store.merge)
        merge.start()
        assert began.wait(20)
        assert store.delete(["a"]) == 1
        add(store, {"b": {1: 5.0}, "new": {2: 2.0}})
        expected = {"b": 5.0, "c": 1.0, "d": 1.0, "e": 1.0, "new": 2.0}
        assert everything(store) == expected
        go_on.set()
        merge.join()
        assert everything(store) == expected
    with module.Store.open(tmp_path / "s") as store:
        assert everything(store) == expected


@pytest.mark.parametrize("writers", [4])
def test_threads_may_write_together(tmp_path, writers, monkeypatch):
    monkeypatch.setattr("fewer.retrieval.store.store.SEALED_AT", 7)
    with create(tmp_path / "s") as store:

        def write(writer):
            for number in range(15):
                add(store, {f"{writer}-{number}": {0: 1.0}})
            store.delete([f"{writer}-0"])

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store) == writers * 14 == len(store.search(ASK_ALL, writers * 14)[0])
