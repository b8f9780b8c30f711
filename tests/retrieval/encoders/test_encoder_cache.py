import subprocess
import sys

import numpy as np
import pytest

from fewer.data.models import is_available
from fewer.retrieval.encoders import cache
from fewer.retrieval.encoders.cache import Cached, Part
from fewer.retrieval.encoders.dense import Dense
from fewer.retrieval.vectors import SparseVectors


class Lengths:
    """A text becomes its characters' counts; what was asked is remembered, and it can break."""

    name = "lengths"
    dimension = 200

    def __init__(self, version="1", breaks_after=10**9):
        self.version, self.breaks_after, self.asked = version, breaks_after, []

    def encode(self, texts, queries=False):
        if len(self.asked) >= self.breaks_after:
            raise KeyboardInterrupt
        self.asked += texts
        return SparseVectors.from_rows([{ord(c): text.count(c) / 3 for c in text} for text in texts], self.dimension)

    def term(self, component):
        return chr(component)

    def fingerprint(self, queries):
        return f"{self.version} {queries}"


TEXTS = [f"text {number}" + "abc" * (number % 7) for number in range(50)] + ["", "again", "again"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "PART", 8)
    return tmp_path / "vectors"


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("starts", "components", "values"))


def test_vectors_are_the_encoders_and_each_text_is_encoded_once():
    encoder = Lengths()
    expected = Lengths().encode(TEXTS)
    assert same(Cached(encoder).encode(TEXTS), expected)
    assert same(Cached(encoder).encode(TEXTS[::-1])[np.arange(len(TEXTS))[::-1]], expected)
    assert sorted(encoder.asked) == sorted(set(TEXTS))


def test_an_interrupted_run_goes_on_where_it_stopped():
    with pytest.raises(KeyboardInterrupt):
        Cached(Lengths(breaks_after=24)).encode(TEXTS)
    encoder = Lengths()
    assert same(Cached(encoder).encode(TEXTS), Lengths().encode(TEXTS))
    assert len(encoder.asked) == len(set(TEXTS)) - 24


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "other"])
def test_a_damaged_file_costs_its_own_texts_and_no_more(folder, damage):
    Cached(Lengths()).encode(TEXTS)
    path = sorted(folder.rglob("*.npz"))[0]
    rows, content = len(Part.read(path).keys), bytearray(path.read_bytes())
    if damage == "flipped":
        content[content.index(b"words.npy") + 200] ^= 1
    path.write_bytes({"cut": content[:-30], "flipped": content, "emptied": b"", "other": b"PK nothing"}[damage])
    encoder = Lengths()
    assert same(Cached(encoder).encode(TEXTS), Lengths().encode(TEXTS))
    assert len(encoder.asked) == rows


def test_another_model_and_questions_apart_from_texts_have_their_own_vectors():
    first, second = Lengths("1"), Lengths("2")
    Cached(first).encode(TEXTS)
    Cached(second).encode(TEXTS)
    Cached(first).encode(TEXTS, queries=True)
    assert len(second.asked) == len(set(TEXTS)) and len(first.asked) == 2 * len(set(TEXTS))


def test_two_encoders_with_one_folder_do_not_harm_each_other():
    one, other = Cached(Lengths()), Cached(Lengths())
    one.encode(TEXTS[:20])
    other.encode(TEXTS[10:])
    fresh = Lengths()
    assert same(Cached(fresh).encode(TEXTS), Lengths().encode(TEXTS)) and not fresh.asked


def test_no_texts_are_no_rows():
    assert len(Cached(Lengths()).encode([])) == 0


def test_a_kill_leaves_only_whole_files(folder, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import os, signal\n"
        "from test_encoder_cache import Lengths, TEXTS, cache, Cached\n"
        "cache.PART = 8\n"
        "write = cache.write_whole\n"
        "def dies(path, content):\n"
        "    if len(list(path.parent.glob('*.npz'))) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(path, content)\n"
        "cache.write_whole = dies\n"
        "Cached(Lengths()).encode(TEXTS)\n"
    )
    from pathlib import Path

    assert subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)]).returncode == -9
    encoder = Lengths()
    Cached(encoder).encode(TEXTS)
    assert len(encoder.asked) == len(set(TEXTS)) - 24


@pytest.mark.skipif(not is_available("minilm"), reason="minilm cannot be had here")
def test_dense_vectors_come_back_the_same():
    encoder = Dense.load()
    texts = ["a cat sat on a mat", "Paris is the capital of France", "a cat sat on a mat"]
    fresh = Dense.load(cached=False).encode(texts)
    assert np.allclose(encoder.encode(texts), fresh, atol=1e-6)
    assert np.array_equal(encoder.encode(texts), Dense.load().encode(texts))
    assert encoder.encode(texts).shape == (3, encoder.width) and encoder.encode([]).shape == (0, encoder.width)
    assert np.allclose(np.linalg.norm(fresh, axis=1), 1, atol=1e-5)
