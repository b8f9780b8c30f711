"""An index of texts: built, searched, explained, changed."""

import json

import numpy as np
import pytest

from fewer.data.retrieval import Document
from fewer.errors import IndexFileError, ModelError, RetrievalError, VectorError
from fewer.retrieval.texts import encoders
from fewer.retrieval.texts.build import build, first_words
from fewer.retrieval.texts.measured import choose
from fewer.retrieval.texts.sources import Source
from fewer.retrieval.texts.text_index import TextIndex
from fewer.retrieval.vectors import SparseVectors

TEXTS = {
    "fox": "The quick brown fox jumps over the dog.",
    "dog": "A lazy dog sleeps all day long, says the fox.",
    "bird": "Birds fly south in winter.",
}
SOURCE = Source("animals", tuple(Document(name, name.title(), text) for name, text in TEXTS.items()))


class Letters:
    """A dense encoder: how often each letter occurs, at unit length."""

    def encode(self, texts):
        import torch

        counts = torch.tensor([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], dtype=torch.float32)
        return torch.nn.functional.normalize(counts, dim=-1).numpy()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("fewer.retrieval.texts.build.dense_model", lambda name, cached=False: Letters())
    monkeypatch.setattr("fewer.retrieval.texts.text_index.dense_model", lambda name, cached=False: Letters())
    build(SOURCE, tmp_path / "index", "bm25", "letters", "exact")
    return tmp_path / "index"


@pytest.fixture
def index(folder):
    with TextIndex.open(folder) as found:
        yield found


@pytest.mark.parametrize("mode", ["sparse", "dense", "fused"])
def test_each_mode_finds_and_marks(index, mode):
    answer = index.search("sleepy dogs", 3 if mode != "sparse" else None, mode)
    best = answer.hits[0]
    assert (answer.mode, best.id, best.title) == (mode, "dog", "Dog")
    assert "dog" in {best.excerpt.text[start:stop] for start, stop in best.excerpt.marks}
    assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)
    assert best.parts.keys() == {"sparse": {"sparse"}, "dense": {"dense"}, "fused": {"sparse", "dense"}}[mode]


def test_an_explanation_adds_up_to_the_score(index):
    for hit in index.search("quick dog fox zebra", mode="sparse").hits:
        why = index.explain("quick dog fox zebra", hit.id)
        assert why.score == pytest.approx(hit.score, rel=1e-5)
        assert {match.term for match in why.terms} <= {"quick", "dog", "fox"}
        assert {match.term for match in why.terms} | {term for term, _ in why.missing} == {"quick", "dog", "fox"}


def test_added_documents_are_found_and_deleted_ones_are_not(index):
    index.add([Document("zebra", "", "Zebras have stripes.")])
    assert [hit.id for hit in index.search("zebra stripes", mode="sparse").hits] == ["zebra"]
    index.add([Document("zebra", "", "Now it is about giraffes.")])
    assert [hit.id for hit in index.search("giraffe", mode="sparse").hits] == ["zebra"]
    assert index.search("stripes fox", mode="sparse").hits[0].id in ("fox", "dog")
    assert index.delete(["zebra", "absent"]) == 1
    assert len(index) == 3
    index.merge()
    assert index.store.describe()["segments"] == 1


def test_what_was_added_is_there_when_it_is_opened_again(folder):
    with TextIndex.open(folder) as index:
        index.add([Document("zebra", "", "Zebras have stripes.")])
    with TextIndex.open(folder, read_only=True) as index:
        assert [hit.id for hit in index.search("zebra", mode="sparse").hits] == ["zebra"]
        with pytest.raises(RetrievalError, match="read_only"):
            index.add([Document("x", "", "fox")])


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"query": ""}, VectorError, "empty"),
        ({"query": " \n"}, VectorError, "empty"),
        ({"query": "qwrtz", "mode": "sparse"}, VectorError, "known"),
        ({"query": "dog", "k": 0}, RetrievalError, "from 1 to"),
        ({"query": "dog", "k": 4}, RetrievalError, "documents, 3; given: 4"),
        ({"query": "dog", "mode": "magic"}, RetrievalError, "allowed: sparse, dense, fused"),
        ({"query": None}, VectorError, "empty"),
    ],
)
def test_a_wrong_search_is_an_error(index, arguments, error, says):
    with pytest.raises(error, match=says):
        index.search(**arguments)


def test_a_vector_searches_sparsely_and_other_modes_refuse_it(index):
    component = int(index.encoder.encode(["winter"], queries=True).components[0])
    vector = SparseVectors.from_rows([{component: 1.0}], index.store.dimension)
    assert [hit.id for hit in index.search(None, vector=vector).hits] == ["bird"]
    with pytest.raises(RetrievalError, match="sparse"):
        index.search(None, mode="dense", vector=vector)


def test_wrong_documents_are_refused_and_nothing_is_kept(index):
    with pytest.raises(RetrievalError, match="twice"):
        index.add([Document("x", "", "fox"), Document("x", "", "dog")])
    with pytest.raises(RetrievalError, match="no word"):
        index.add([Document("x", "", "fox"), Document("y", "", "...")])
    with pytest.raises(RetrievalError, match="absent"):
        index.explain("dog", "absent")
    assert len(index) == 3


def test_an_index_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RetrievalError, match="kinds of index"):
        build(SOURCE, tmp_path / "a", "bm25", None, "magic")
    with pytest.raises(RetrievalError, match="no word"):
        build(Source("dots", (Document("x", "", "..."),)), tmp_path / "a", "bm25", None)
    assert [*tmp_path.iterdir()] == []
    build(SOURCE, tmp_path / "a", "bm25", None)
    with pytest.raises(RetrievalError, match="overwrite"):
        build(SOURCE, tmp_path / "a", "bm25", None)
    build(SOURCE, tmp_path / "a", "bm25", None, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_texts_without_a_word_are_left_out_and_named(tmp_path):
    found = build(Source("x", (*SOURCE.documents, Document("dots", "", "..."))), tmp_path / "a", "bm25", None)
    assert (found.documents, found.skipped) == (3, ("dots",))


def test_no_index_is_an_error(tmp_path):
    with pytest.raises(IndexFileError, match="fewer index"):
        TextIndex.open(tmp_path)


def test_a_model_that_cannot_be_had_names_the_encoder_that_needs_none(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelError, match="--encoder bm25"):
        encoders.sparse_model(str(tmp_path / "absent"))
    with pytest.raises(ModelError, match="--no-dense"):
        encoders.dense_model(str(tmp_path / "absent"))


def test_the_choice_is_measured_beside_the_exhaustive_and_a_random_index():
    random = np.random.default_rng(0)
    rows = [dict(zip(random.choice(300, 12, False).tolist(), random.random(12) + 0.1, strict=True)) for _ in range(1500)]
    vectors = SparseVectors.from_rows(rows, 300)
    choice = choose(vectors, vectors[:60], 0.9, kinds=("seismic",))
    assert choice.chosen.recall >= 0.8
    figures = json.loads(json.dumps(choice.figures(0.9)))
    assert [series["name"] for series in figures["series"]] == ["exhaustive", "seismic", "random"]
    assert figures["series"][0]["points"][0]["recall"] == 1
    assert sum(point["chosen"] for series in figures["series"] for point in series["points"]) == 1
    assert f"recall {0.9:g}" in figures["says"]
    twin = choice.series["random"]
    assert twin[0].recall < 0.5 and twin[0].scored < twin[-1].scored


def test_first_words_are_a_sentence_or_less():
    assert first_words("Return a thing. And more.") == "Return a thing."
    assert first_words(" ".join(map(str, range(20)))) == " ".join(map(str, range(12)))
