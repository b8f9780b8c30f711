import os
import sys

import numpy as np
import pytest

from fewer.data import SETS, images, load, python_docs, sentences, tables, text
from fewer.data.split import held_out, shuffled
from fewer.errors import DataError

WITH_PICTURES = {"cifar10-6k", "ibims1-sparse", "sample-images"}
# 170 MB: fetched by name, never part of the shared folder
NOT_SHARED = {"cifar10"}


def paragraphs(part: str) -> set[str]:
    return {" ".join(p.split()) for p in part.split("\n\n") if len(" ".join(p.split())) >= python_docs.SHARED}


@pytest.mark.parametrize("name", ["python-topics", "python-docstrings"])
def test_no_paragraph_of_the_held_out_text_was_calibrated_on(name):
    calibration, test = text.load(name, "calibration"), text.load(name, "test")
    assert len(test) > 50_000
    assert len(calibration) > 200_000
    if name == "python-topics":
        assert not paragraphs(calibration) & paragraphs(test)
    assert text.load(name, "train") == calibration


def test_each_paragraph_of_the_topics_stands_there_once():
    for split in ("calibration", "test"):
        found = [p for p in (" ".join(b.split()) for b in text.load("python-topics", split).split("\n\n")) if len(p) >= 60]
        assert len(found) == len(set(found))


def test_topics_that_quote_each_other_are_in_one_group():
    shared, own = "a paragraph that is long enough to count as shared text, " * 2, "x" * 80
    texts = {"b": f"{shared}\n\n{own}", "c": "short\n\nnote", "a": f"own words\n\n{shared}", "d": "short"}
    assert python_docs._groups(texts) == [["a", "b"], ["c"], ["d"]]


def test_the_split_of_a_topic_depends_on_its_name_alone():
    assert [held_out(name) for name in ("assert", "debugger", "import", "types", "yield")] == [False, True, True, False, False]


def test_docstrings_are_read_without_importing_their_modules():
    assert any(doc.module == "turtle" for doc in python_docs.docstrings())
    assert "turtle" not in sys.modules


def test_a_docstring_has_its_qualified_name():
    found = {doc.name: doc.text for doc in python_docs.docstrings()}
    assert found["json.decoder.JSONDecoder.raw_decode"].startswith("Decode a JSON document")
    assert found["json"].startswith("JSON (JavaScript Object Notation)")


def test_known_item_search_asks_for_a_document_that_does_not_hold_the_query():
    collection = load("python-docstrings")
    texts = {document.id: document.text for document in collection.documents}
    assert len(collection.judged) == len(collection.queries) > 1000
    assert len(texts) == len(collection.documents)
    answered = [(query, texts[doc]) for query in collection.queries for doc in collection.judgements[query.id]]
    assert sum(query.text in " ".join(answer.split()) for query, answer in answered) < len(answered) / 100


@pytest.mark.parametrize("rows, test", [(10, 3), (178, 45)])
def test_a_shuffled_split_is_disjoint_complete_and_stable(rows, test):
    first, second = shuffled(rows, test)
    assert len(second) == test
    assert sorted([*first, *second]) == list(range(rows))
    assert (shuffled(rows, test)[1] == second).all()
    assert shuffled(10, 3)[1].tolist() == [0, 8, 1]


@pytest.mark.parametrize("name, train, test, channels, side", [("digits", 1347, 450, 1, 8)])
def test_images_are_floats_in_the_unit_range_with_channels_first(name, train, test, channels, side):
    found = images.load(name)
    assert found.train_x.shape == (train, channels, side, side)
    assert found.test_x.shape == (test, channels, side, side)
    assert found.train_x.dtype == np.float32
    assert (found.train_x.min(), found.train_x.max()) == (0, 1)
    assert set(found.test_y) == set(range(len(found.classes)))


def test_loaders_return_copies():
    images.load("digits").train_x[:] = 0
    assert images.load("digits").train_x.any()


@pytest.mark.parametrize("name, shape", [("breast-cancer", (426, 30)), ("wine", (133, 13))])
def test_tables_have_named_columns_and_all_classes_in_both_parts(name, shape):
    found = tables.load(name)
    assert found.train_x.shape == shape
    assert len(found.features) == shape[1]
    assert set(found.train_y) == set(found.test_y) == set(range(len(found.classes)))


def test_a_set_of_another_kind_is_refused_with_the_allowed_names():
    with pytest.raises(DataError, match="digits is a set of kind images, not running text"):
        text.load("digits")
    with pytest.raises(DataError, match="Image sets: mnist-10k"):
        images.load("wine")
    with pytest.raises(DataError, match="calibration, train, test"):
        text.load("python-topics", "valid")


@pytest.mark.data
def test_the_default_text_says_which_source_served_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path))
    found = text.default_text("test")
    expected = ("wikitext2", "folder") if os.environ.get("FEWER_DATA") else ("python-topics", "embedded")
    assert (found.name, found.source) == expected
    assert len(found.text) > 50_000


@pytest.mark.data
def test_the_default_images_say_which_source_served_them(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path))
    found = images.default_images()
    expected = ("mnist-10k", "folder") if os.environ.get("FEWER_DATA") else ("digits", "embedded")
    assert (found.name, found.source) == expected


def test_a_default_set_that_is_there_but_differs_is_an_error_and_no_reason_to_fall_back(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "wikitext2").mkdir()
    for name in ("valid.txt", "test.txt"):
        (tmp_path / "wikitext2" / name).write_text("something else")
    with pytest.raises(DataError, match="expected"):
        text.default_text(data=tmp_path)


def test_detokenising_joins_marks_and_keeps_words():
    assert text.detokenise("a 1 @,@ 000 @-@ mile run ( in 3 @.@ 5 h ) , Bob 's , did n't stop .") == (
        "a 1,000-mile run (in 3.5 h), Bob's, didn't stop."
    )


@pytest.mark.parametrize("name", [name for name, entry in SETS.items() if entry.files and name not in NOT_SHARED])
def test_every_shared_set_loads(shared, name):
    if name in WITH_PICTURES:
        pytest.importorskip("PIL", reason="Pillow is not installed")
    found = load(name)
    assert (found.name, found.source) == (name, "folder")


@pytest.mark.parametrize(
    "name, train, test",
    [("agnews-7k6", 5600, 2000), ("banking77", 10003, 3080), ("rt-polarity", 8662, 2000), ("sentiment-sentences", 2000, 1000)],
)
def test_labelled_texts_have_the_sizes_that_their_tables_state(shared, name, train, test):
    found = sentences.load(name)
    assert (len(found.train_x), len(found.test_x)) == (len(found.train_y), len(found.test_y)) == (train, test)
    assert set(found.test_y) == set(range(len(found.classes)))


def test_shared_text_is_split_as_documented(shared):
    train, test = text.load("tinyshakespeare", "train"), text.load("tinyshakespeare", "test")
    assert (len(train), len(train) + len(test)) == (1003854, 1115394)
    assert text.load("wikitext2", "test").count("<unk>") == 15218
    assert text.load("wikitext2", "calibration").count("<unk>") == 11718


@pytest.mark.parametrize(
    "name, documents, judged, relevant",
    [("cranfield", 1400, 225, 1612), ("cisi", 1460, 76, 3114), ("abt-buy", 1076, 1076, 1076)],
)
def test_search_collections_have_their_judgements(shared, name, documents, judged, relevant):
    found = load(name)
    ids = {document.id for document in found.documents}
    assert (len(ids), len(found.judged)) == (documents, judged)
    assert sum(r > 0 for judgements in found.judgements.values() for r in judgements.values()) == relevant
    assert all(doc in ids for judgements in found.judgements.values() for doc in judgements)


def test_the_connections_leave_out_what_leaks(shared):
    found = tables.load("nsl-kdd")
    assert found.train_x.shape == (25192, len(found.features))
    assert found.test_x.shape[0] == 11850
    assert "protocol_type=tcp" in found.features
    assert not any("difficulty" in feature for feature in found.features)
    assert np.isfinite(found.train_x).all()


def test_ratings_are_in_order_of_time(shared):
    found = load("movielens-small")
    assert len(found.values) == 100836
    assert (np.diff(found.times) >= 0).all()
    assert found.titles[1] == "Toy Story (1995)"


def test_segments_add_up_to_their_dialogue(shared):
    found = load("tiage")
    assert all(sum(one.segments) == len(one.utterances) for one in found.dialogues)
    assert [sum(one.part == part for one in found.dialogues) for part in ("train", "dev", "test")] == [300, 100, 100]


def test_the_citation_graph_has_its_size(shared):
    found = load("cora")
    assert (found.words.shape, found.edges.shape) == ((2708, 1433), (5278, 2))
    assert (found.edges[:, 0] < found.edges[:, 1]).all()
