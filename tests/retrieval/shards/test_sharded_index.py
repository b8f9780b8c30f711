"""Shards on a local Ray cluster answer as one index, and a killed one comes back. Skipped without Ray (the extra `ray`)."""

import json
import os
import signal
import time
from contextlib import suppress

import numpy as np
import pytest

from fewer.errors import IndexFileError, RetrievalError, VectorError
from fewer.retrieval.index.exact import ExactIndex
from fewer.retrieval.shards.sharded_index import ShardedIndex
from fewer.retrieval.shards.sharded_store import ShardedStore
from fewer.retrieval.store.store import Store
from fewer.retrieval.vectors import SparseVectors

DIMENSION = 40


def some(seed, count):
    chance = np.random.default_rng(seed)
    return SparseVectors.from_rows(
        [{int(c): float(chance.integers(1, 9)) / 4 for c in chance.choice(DIMENSION, 6, replace=False)} for _ in range(count)],
        DIMENSION,
    )


DOCUMENTS, QUERIES = some(0, 301), some(1, 20)


@pytest.fixture(scope="module", autouse=True)
def ray():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards") / "built"
    ShardedIndex.build(DOCUMENTS, shards=2, folder=folder, kind="exact").close()
    return folder


def until_whole(ask):
    """The answer once no shard is missing."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if not (found := ask()).partial:
                return found
        except RetrievalError:
            pass
        time.sleep(0.1)
    raise AssertionError("the shard did not come back")


def test_shards_find_what_one_index_finds_and_a_killed_one_comes_back(folder):
    expected = ExactIndex.build(DOCUMENTS).search(QUERIES, 10)
    with ShardedIndex.open(folder) as index:
        found = index.search(QUERIES, 10)
        assert (found.answered, found.shards, found.partial, len(index)) == ((0, 1), 2, False, 301)
        for ours, theirs in zip(found.hits, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)

        lost = index.pids()[1]
        os.kill(lost, signal.SIGKILL)
        partial = index.search(QUERIES, 10)
        assert (partial.answered, partial.partial) == ((0,), True)
        first_half = ExactIndex.build(DOCUMENTS[: int(index.starts[1])]).search(QUERIES, 10)
        np.testing.assert_array_equal(partial.hits.documents, first_half.documents)

        back = until_whole(lambda: index.search(QUERIES, 10))
        np.testing.assert_array_equal(back.hits.documents, expected.documents)
        assert index.pids()[1] != lost


def test_a_shard_that_is_too_slow_is_left_out_and_asked_again_later(folder):
    with ShardedIndex.open(folder) as index:
        slow = index.pids()[0]
        os.kill(slow, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert index.search(QUERIES, 3, timeout=0.5).answered == (1,)
            assert index.search(QUERIES, 3, timeout=0.5).answered == (1,)
            assert time.monotonic() - began < 5
        finally:
            os.kill(slow, signal.SIGCONT)
        until_whole(lambda: index.search(QUERIES, 3))


def test_a_shard_whose_files_are_gone_is_left_out_and_returns_with_them(ray, tmp_path):
    with ShardedIndex.build(DOCUMENTS, 2, tmp_path / "s", kind="exact") as index:
        [file, _] = sorted((tmp_path / "s").glob("*.index"))
        file.rename(tmp_path / "away")
        os.kill(index.pids()[0], signal.SIGKILL)
        for _ in range(600):
            with suppress(ray.exceptions.RayActorError):
                index.pids()
                break
            time.sleep(0.1)
        assert index.search(QUERIES, 3).answered == (1,)
        (tmp_path / "away").rename(file)
        assert index.search(QUERIES, 3).answered == (0, 1)


def test_k_may_be_larger_than_a_shard(folder):
    with ShardedIndex.open(folder) as index:
        expected = ExactIndex.build(DOCUMENTS).search(QUERIES, 250)
        np.testing.assert_array_equal(index.search(QUERIES, 250).hits.scores, expected.scores)


def test_stores_are_searched_together(tmp_path):
    pieces = {"one": range(0, 200), "two": range(200, 301), "empty": range(0)}
    for name, rows in pieces.items():
        with Store.create(tmp_path / name, DIMENSION, kind="exact", dense_width=1) as store:
            ids = [f"{row:03d}" for row in rows]
            store.add(ids, DOCUMENTS[rows.start : rows.stop], ids, ids, np.array(rows, np.float32).reshape(-1, 1))
    expected = ExactIndex.build(DOCUMENTS).search(QUERIES, 5)
    with ShardedStore([tmp_path / name for name in pieces]) as stores:
        found = stores.search(QUERIES, 5)
        assert (len(stores), found.answered, found.partial) == (301, (0, 1, 2), False)
        assert [[int(match.id) for match in row] for row in found.matches] == expected.documents.tolist()
        assert [match.id for match in stores.search_dense(np.ones((1, 1), np.float32), 2).matches[0]] == ["300", "299"]
        os.kill(stores.pids()[1], signal.SIGKILL)
        assert stores.search(QUERIES, 5).answered == (0, 2)
        assert until_whole(lambda: stores.search(QUERIES, 5)).matches == found.matches
        with pytest.raises(RetrievalError, match="k must be"):
            stores.search(QUERIES, 302)
        with pytest.raises(VectorError, match="dimension 3"):
            stores.search(SparseVectors.from_rows([{0: 1.0}], 3), 1)


def test_what_cannot_be_searched_is_refused_before_any_shard_is_asked(folder):
    with ShardedIndex.open(folder) as index:
        with pytest.raises(RetrievalError, match="k must be from 1 to the number of documents, 301"):
            index.search(QUERIES, 302)
        with pytest.raises(VectorError, match="query 0 is empty"):
            index.search(SparseVectors.from_rows([{}], DIMENSION), 1)
        with pytest.raises(VectorError, match="dimension 3"):
            index.search(SparseVectors.from_rows([{0: 1.0}], 3), 1)
        with pytest.raises(RetrievalError, match="not str"):
            index.search(QUERIES, 1, how="fast")


def test_folders_that_hold_no_whole_shards_are_refused(folder, tmp_path):
    with pytest.raises(IndexFileError, match="is not empty"):
        ShardedIndex.build(DOCUMENTS, 2, folder, kind="exact")
    with pytest.raises(RetrievalError, match="shards must be from 1"):
        ShardedIndex.build(DOCUMENTS, 302, tmp_path / "x", kind="exact")
    with pytest.raises(IndexFileError, match="holds no shards"):
        ShardedIndex.open(tmp_path)
    content = json.loads((folder / "shards.json").read_text())
    content["shards"]["starts"][1] += 1
    (tmp_path / "shards.json").write_text(json.dumps(content))
    with pytest.raises(IndexFileError, match="checksum"):
        ShardedIndex.open(tmp_path)
    (tmp_path / "shards.json").write_text((folder / "shards.json").read_text())
    with pytest.raises(IndexFileError, match=r"shard-0000\d.index cannot be read"):
        ShardedIndex.open(tmp_path)
