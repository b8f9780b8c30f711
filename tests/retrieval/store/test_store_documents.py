"""A store keeps, finds, replaces and deletes documents, and says what it cannot do."""

import json

import numpy as np
import pytest
from small_store import ASK_ALL, DIMENSION, add, create, everything, vectors

from fewer.errors import IndexFileError, RetrievalError, VectorError
from fewer.retrieval.store import merging
from fewer.retrieval.store.store import Store
from fewer.retrieval.store.view import Match


@pytest.fixture(params=[2, 1024], ids=["sealed at once", "in memory"])
def store(request, tmp_path, monkeypatch):
    monkeypatch.setattr("fewer.retrieval.store.store.SEALED_AT", request.param)
    with create(tmp_path / "store", about={"encoder": "none"}) as store:
        add(store, {"a": {0: 1.0, 1: 2.0}, "b": {1: 4.0}, "../../etc/passwd": {2: 1.0}, "empty": {}})
        yield store


def test_a_search_finds_the_best_first_and_equals_by_their_ids(store):
    add(store, {"c": {1: 4.0}})
    assert store.search(vectors({1: 1.0}), 4) == [[Match("b", 4.0), Match("c", 4.0), Match("a", 2.0)]]


def test_documents_come_back_whole_after_opening_again(store):
    store.close()
    with Store.open(store.folder) as again:
        found = again.document("a")
        assert (found.id, found.title, found.text) == ("a", "title of a", "a")
        assert (found.components.tolist(), found.values.tolist()) == ([0, 1], [1.0, 2.0])
        assert (len(again), again.about, "empty" in again, "z" in again) == (4, {"encoder": "none"}, True, False)
        assert everything(again) == {"a": 3.0, "b": 4.0, "../../etc/passwd": 1.0}


def test_an_id_that_is_there_is_replaced(store):
    add(store, {"a": {5: 8.0}})
    assert len(store) == 4 and store.search(vectors({0: 1.0}), 1) == [[]]
    assert store.search(vectors({5: 0.5}), 1) == [[Match("a", 4.0)]]


def test_what_is_deleted_is_not_found(store):
    assert store.delete(["a", "nobody", "b"]) == 2
    assert store.delete(["a"]) == 0
    assert everything(store) == {"../../etc/passwd": 1.0}
    store.close()
    with Store.open(store.folder) as again:
        assert everything(again) == {"../../etc/passwd": 1.0}
        again.merge()
        assert everything(again) == {"../../etc/passwd": 1.0} and again.describe()["deleted"] == 0


def test_dense_search_gives_every_inner_product(store):
    found = store.search_dense(np.array([[1, 0], [-1, 0.5]], np.float32), 3)
    assert [[(m.id, m.score) for m in row] for row in found] == [
        [("b", 4.0), ("a", 3.0), ("../../etc/passwd", 1.0)],
        [("empty", 0.5), ("../../etc/passwd", -0.5), ("a", -2.5)],
    ]


def test_deletions_of_a_log_last_through_the_next_seal(store, monkeypatch):
    store.merge()
    store.delete(["a"])
    store.close()
    with Store.open(store.folder) as again:
        monkeypatch.setattr("fewer.retrieval.store.store.SEALED_AT", 1)
        add(again, {"new": {0: 1.0}})
        assert again.describe()["fresh"] == 0
    with Store.open(store.folder) as again:
        assert everything(again) == {"b": 4.0, "../../etc/passwd": 1.0, "new": 1.0}


def test_segments_are_merged_in_the_background(tmp_path, monkeypatch):
    monkeypatch.setattr("fewer.retrieval.store.store.SEALED_AT", 2)
    with create(tmp_path / "s") as store:
        for number in range(20):
            add(store, {f"{number}": {0: 1.0}, f"{number}x": {1: 1.0}})
        store._background.join()
        assert len(store) == 40 == len(everything(store))
    with Store.open(tmp_path / "s") as store:
        told = store.describe()
        assert told["segments"] < 8 and told["trouble"] is None and len(everything(store)) == 40
    numbers = {path.stem for path in (tmp_path / "s").glob("*.index")}
    assert len(numbers) == told["segments"]


def test_a_segment_that_is_mostly_deleted_is_written_anew(tmp_path):
    with create(tmp_path / "s") as store:
        add(store, {str(number): {0: 1.0} for number in range(10)})
        store.merge()
        store.delete([str(number) for number in range(8)])
        store._background.join()
        assert store.describe()["deleted"] == 0 and len(everything(store)) == 2
        store.delete(["8", "9"])
        store._background.join()
        assert (len(store), store.describe()["segments"]) == (0, 0)


def test_a_reader_beside_the_writer_keeps_what_it_opened(store):
    with Store.open(store.folder, read_only=True) as reader:
        store.delete(["a"])
        store.merge()
        assert len(everything(reader)) == 3 and reader.document("a").text == "a"
        with pytest.raises(RetrievalError, match="read_only=True"):
            reader.delete(["b"])
    with Store.open(store.folder, read_only=True) as reader:
        assert len(everything(reader)) == 2


def test_one_process_writes(store):
    with pytest.raises(IndexFileError, match="another process writes"):
        Store.open(store.folder)
    with pytest.raises(IndexFileError, match="holds a store already"):
        create(store.folder)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(IndexFileError, match=r"other files \(thesis.txt\)"):
        create(tmp_path)
    with pytest.raises(IndexFileError, match="holds no store"):
        Store.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("ids", "rows", "message"),
    [
        (["x", "x"], [{0: 1.0}, {0: 1.0}], "stands twice"),
        ([""], [{0: 1.0}], "not empty"),
        ([7], [{0: 1.0}], "must be a string"),
        (["i" * 513], [{0: 1.0}], "at most 512"),
        (["\ud800"], [{0: 1.0}], "no valid text"),
        (["x"], [], "needs an id"),
        (["x"], [{0: 70000.0}], "at most 65504"),
    ],
)
def test_what_cannot_be_added_is_refused_and_nothing_is_kept(store, ids, rows, message):
    texts = ["t"] * len(ids)
    with pytest.raises((RetrievalError, VectorError), match=message):
        store.add(ids, vectors(*rows), texts, texts, np.zeros((len(ids), 2)))
    assert len(store) == 4


def test_dense_vectors_must_fit(store):
    for dense in (None, np.zeros((1, 3)), np.full((1, 2), np.nan)):
        with pytest.raises(VectorError, match="dense vectors must"):
            store.add(["x"], vectors({0: 1.0}), ["t"], ["t"], dense)


def test_searches_that_cannot_be_answered_say_why(store):
    for k in (0, 5, -1):
        with pytest.raises(RetrievalError, match="k must be from 1 to the number of documents, 4"):
            store.search(ASK_ALL, k)
    with pytest.raises(VectorError, match="query 0 is empty"):
        store.search(vectors({}), 1)
    with pytest.raises(RetrievalError, match="not str"):
        store.search(ASK_ALL, 1, how="fast")
    with pytest.raises(VectorError, match=r"\(queries, 2\)"):
        store.search_dense(np.zeros((1, 3)), 1)
    with pytest.raises(RetrievalError, match="no document 'z'"):
        store.document("z")
    store.close()
    with pytest.raises(RetrievalError, match="is closed"):
        store.search(ASK_ALL, 1)


def test_an_empty_store_says_that_it_is_empty(tmp_path):
    with create(tmp_path / "s") as store, pytest.raises(RetrievalError, match="holds no document"):
        store.search(ASK_ALL, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "nearest"}, "kinds of index are"),
        ({"dimension": 0}, "dimension must"),
        ({"dense_width": -1}, "width"),
        ({"about": {"x": np.nan}}, "must be JSON"),
        ({"about": {1: 2}}, "must be JSON"),
        ({"options": {"levels": 8}}, "no option 'levels'"),
    ],
)
def test_a_store_that_cannot_be_is_refused(tmp_path, given, message):
    with pytest.raises(RetrievalError, match=message):
        Store.create(tmp_path / "s", **{"dimension": DIMENSION, "kind": "exact", **given})
    assert not (tmp_path / "s").exists()


def test_a_manifest_that_was_changed_by_hand_is_refused(store):
    store.close()
    path = store.folder / "manifest.json"
    content = json.loads(path.read_text())
    content["store"]["dimension"] = 5
    path.write_text(json.dumps(content))
    with pytest.raises(IndexFileError, match="checksum"):
        Store.open(store.folder)
    path.write_text(json.dumps({**content, "version": 9}))
    with pytest.raises(IndexFileError, match="version 9"):
        Store.open(store.folder)
    path.write_text("[]")
    with pytest.raises(IndexFileError, match="no manifest"):
        Store.open(store.folder)
    path.unlink()
    with pytest.raises(IndexFileError, match="holds no store"):
        Store.open(store.folder)


@pytest.mark.parametrize("name", ["*.index", "*.documents", "*.deleted", "*.log"])
def test_a_missing_or_swapped_or_cut_file_is_named(store, name):
    store.merge()
    store.delete(["a"])
    store._seal(store._view)
    store.close()
    [path] = store.folder.glob(name)
    content = path.read_bytes()
    path.write_bytes(content[:20])
    with pytest.raises(IndexFileError, match=path.name):
        Store.open(store.folder)
    path.unlink()
    with pytest.raises(IndexFileError, match=path.name):
        Store.open(store.folder)
    with pytest.raises(IndexFileError, match=path.name):
        Store.open(store.folder, read_only=True)
    path.write_bytes(content)
    with Store.open(store.folder) as again:
        assert len(again) == 3


def test_leftovers_of_a_crash_go_when_the_store_is_opened_and_other_files_stay(store):
    store.close()
    for name in ("0000000099.index", ".manifest.json.abc123", "0000000098.log", "notes.txt"):
        (store.folder / name).write_text("x")
    with Store.open(store.folder):
        names = {path.name for path in store.folder.iterdir()}
    assert "notes.txt" in names and not names & {"0000000099.index", ".manifest.json.abc123", "0000000098.log"}


def test_a_failed_merge_is_told_and_loses_nothing(store, monkeypatch):
    def fail(*_):
        raise OSError("disk gone")

    monkeypatch.setattr("fewer.retrieval.store.store.merged", fail)
    monkeypatch.setattr("fewer.retrieval.store.store.worth_merging", lambda parts: list(parts))
    store._seal(store._view)
    store._background.join()
    assert "disk gone" in store.describe()["trouble"] and len(everything(store)) == 3


def test_merging_takes_segments_of_one_size():
    class Sized:
        def __init__(self, living, all_there=None):
            self.living, self.segment = living, range(all_there or living)

        def __len__(self):
            return self.living

    small, large = [Sized(1024) for _ in range(3)], [Sized(100_000) for _ in range(4)]
    assert merging.worth_merging(small + large[:3]) == []
    assert merging.worth_merging(small + large) == large
    assert merging.worth_merging([*small, half := Sized(499, 1000)]) == [half]
