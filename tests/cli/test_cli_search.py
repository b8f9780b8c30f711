"""`fewer index` and `fewer search`, as they are typed."""

import json

import pytest
from click.testing import CliRunner

from fewer.cli.main import COMMANDS, load
from fewer.errors import FewerError


def run(name, *args):
    found = CliRunner().invoke(load(name, COMMANDS[name].target), [str(arg) for arg in args])
    if isinstance(found.exception, FewerError):
        raise found.exception
    return found


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "fox.md").write_text("The quick brown fox jumps over the lazy dog.", encoding="utf-8")
    (folder / "bird.md").write_text("Birds fly south in winter.", encoding="utf-8")
    (folder / "latin.txt").write_bytes("café".encode("latin-1"))
    return folder


@pytest.fixture
def index(texts, tmp_path):
    done = run("index", texts, "--out", tmp_path / "index", "--encoder", "bm25", "--no-dense", "--json")
    said = json.loads(done.stdout)
    assert (said["documents"], said["kind"], said["encoder"], said["dense"]) == (2, "exact", "bm25", None)
    assert "1,000" in said["why"]
    assert "latin.txt" in said["complaint"] and "latin.txt" in done.stderr
    return tmp_path / "index"


def test_a_search_prints_what_it_found_and_why(index):
    done = run("search", index, "lazy foxes", "--explain")
    assert done.exit_code == 0
    assert "fox.md" in done.stdout and "bird.md" not in done.stdout
    assert "lazi" in done.stdout and " = " in done.stdout
    assert "ms in the index" in done.stderr


def test_json_alone_stands_on_standard_output(index):
    found = json.loads(run("search", index, "lazy fox", "--json", "--explain", "-k", "1").stdout)
    (hit,) = found["results"]
    assert hit["id"] == "fox.md"
    assert sum(term["contribution"] for term in hit["explain"]) == pytest.approx(hit["score"], rel=1e-5)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["zzzz"], "known"),
        ([""], "empty"),
        (["fox", "-k", "3"], "documents, 2; given: 3"),
        (["fox", "--mode", "dense"], "without dense vectors"),
    ],
)
def test_a_wrong_search_says_what_to_do(index, args, says):
    with pytest.raises(FewerError, match=says):
        run("search", index, *args)


def test_an_unknown_mode_is_wrong_usage(index):
    done = run("search", index, "fox", "--mode", "magic")
    assert done.exit_code == 2 and "sparse, dense, fused" in done.stderr


def test_an_index_is_not_written_over_unless_asked(index, texts):
    with pytest.raises(FewerError, match="overwrite"):
        run("index", texts, "--out", index, "--encoder", "bm25", "--no-dense")
    assert run("index", texts, "--out", index, "--encoder", "bm25", "--no-dense", "--overwrite").exit_code == 0


def test_a_model_that_is_missing_is_not_replaced_silently(texts, tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FewerError, match="--encoder bm25"):
        run("index", texts, "--out", tmp_path / "other", "--encoder", tmp_path / "absent")
    assert not (tmp_path / "other").exists()
