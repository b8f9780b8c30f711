"""Folders and files become documents; what cannot be read is named."""

import pytest

from fewer.data.retrieval import Document
from fewer.errors import RetrievalError, VectorError
from fewer.retrieval.formats.ciff import write_ciff
from fewer.retrieval.formats.csr import write_csr
from fewer.retrieval.formats.jsonl import write_jsonl
from fewer.retrieval.formats.named import NamedVectors
from fewer.retrieval.texts import folder as folder_module
from fewer.retrieval.texts.build import build
from fewer.retrieval.texts.folder import read_folder
from fewer.retrieval.texts.sources import read
from fewer.retrieval.texts.text_index import TextIndex
from fewer.retrieval.vectors import SparseVectors


@pytest.fixture
def texts(tmp_path):
    root = tmp_path / "texts"
    (root / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("\ufeffalpha beta", encoding="utf-8")
    (root / "deep" / "b.md").write_text("gamma", encoding="utf-8")
    (root / "picture.png").write_bytes(b"\x89PNG")
    (root / ".hidden.txt").write_text("secret", encoding="utf-8")
    return root


def test_text_files_are_read_in_order_and_others_left_alone(texts):
    found = read_folder(texts)
    assert [(d.id, d.title, d.text) for d in found.documents] == [
        ("a.txt", "a.txt", "alpha beta"),
        ("deep/b.md", "deep/b.md", "gamma"),
    ]
    assert found.complaint == ""


def test_a_long_file_becomes_numbered_passages(texts):
    (texts / "long.txt").write_text("\n\n".join(["word " * 100] * 3), encoding="utf-8")
    assert [d.id for d in read_folder(texts).documents if d.title == "long.txt"] == ["long.txt", "long.txt#2", "long.txt#3"]


def test_files_that_cannot_be_read_are_named_with_the_reason(texts, monkeypatch):
    monkeypatch.setattr(folder_module, "LARGEST", 1_000_000)
    (texts / "latin.txt").write_bytes("café".encode("latin-1"))
    (texts / "binary.txt").write_bytes(b"a\0b")
    (texts / "huge.log").write_bytes(b"x" * 1_000_001)
    said = read_folder(texts).complaint
    assert "1 not in UTF-8 (latin.txt)" in said
    assert "1 not text (binary.txt)" in said
    assert "1 above 1 MB (huge.log)" in said


def test_links_out_of_the_folder_are_not_followed(texts, tmp_path):
    (tmp_path / "outside.txt").write_text("outside", encoding="utf-8")
    (texts / "link.txt").symlink_to(tmp_path / "outside.txt")
    (texts / "circle").symlink_to(texts)
    assert {d.id for d in read_folder(texts).documents} == {"a.txt", "deep/b.md"}


@pytest.mark.parametrize("key", ["id", "_id"])
def test_jsonl_and_beir_lines_are_documents(tmp_path, key):
    (tmp_path / "corpus.jsonl").write_text(f'{{"{key}": "1", "title": "T", "text": "body"}}\n\n', encoding="utf-8")
    for source in (read(tmp_path), read(tmp_path / "corpus.jsonl")):
        assert [(d.id, d.title, d.text) for d in source.documents] == [("1", "T", "body")]


def test_files_of_vectors_are_indexed_and_asked_by_their_terms_or_by_vectors(tmp_path):
    vectors = SparseVectors.from_rows([{0: 2.0, 1: 1.0}, {2: 3.0}], 3)
    named = NamedVectors(vectors, ["a", "b"], ["fox", "dog", "bird"], ["a Fox and a dog", "birds"])
    write_jsonl(tmp_path / "v.jsonl", named)
    write_ciff(tmp_path / "v.ciff", named)
    write_csr(tmp_path / "v.csr", vectors)
    for path in sorted(tmp_path.glob("v.*")):
        build(read(path), tmp_path / "index", "bm25", "minilm", overwrite=True)
        with TextIndex.open(tmp_path / "index") as index:
            assert len(index.search(None, vector=vectors[1:2]).hits) == 1
            if path.suffix == ".csr":
                with pytest.raises(VectorError, match="without an encoder"):
                    index.search("fox")
                continue
            (hit,) = index.search("fox dog zebra").hits
            assert hit.id == "a"
            assert len(hit.excerpt.marks) == (2 if path.suffix == ".jsonl" else 0)
            with pytest.raises(RetrievalError, match="with their vectors"):
                index.add([Document("c", "", "fox")])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 1 is no JSON object"),
        ("[1]", 'line 1 needs an "id"'),
        ('{"id": "1"}', 'line 1 needs an "id"'),
        ('{"id": "1", "text": 5}', 'line 1 needs an "id"'),
        ('{"id": "1", "text": "a"}\n{"id": "1", "text": "b"}', "line 2 has the id '1'"),
        ("", "holds no document"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, says):
    (tmp_path / "x.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(RetrievalError, match=says):
        read(tmp_path / "x.jsonl")


def test_nothing_to_index_is_an_error(tmp_path):
    with pytest.raises(RetrievalError, match="no text to index"):
        read(tmp_path)
    with pytest.raises(RetrievalError, match="does not exist"):
        read(tmp_path / "absent")


def test_without_a_path_pythons_documentation_is_read_each_text_once():
    found = read(None).documents
    assert len(found) > 5000
    assert len({d.id for d in found}) == len(found) == len({d.text for d in found})
    assert any(d.id == "topic:while" for d in found) and any(d.id == "json.dumps" for d in found)
