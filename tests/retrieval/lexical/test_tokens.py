import sys

import pytest

from fewer.errors import MissingExtraError, RetrievalError
from fewer.retrieval.lexical import tokens
from fewer.retrieval.lexical.tokens import Tokens


def test_words_are_lowered_and_stop_words_left_out():
    assert Tokens(stemmer="")("The Cats, and a DOG's x") == ["cats", "dog"]


def test_stems_are_those_of_snowball():
    pytest.importorskip("Stemmer")
    assert Tokens(stemmer="english")("running runs cats") == ["run", "run", "cat"]


def test_words_of_any_script_are_words():
    assert Tokens(stemmer="")("Größe 数据 naïve") == ["größe", "数据", "naïve"]


def test_settings_make_the_same_tokens():
    made = Tokens(pattern=r"[a-z]+", stop_words=frozenset({"x"}), stemmer="")
    assert Tokens(**made.settings()) == made


def test_without_pystemmer_words_stay_as_they_are_and_a_language_is_an_error(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "Stemmer", None)
    for remembered in (tokens._default_stemmer, tokens._stem):
        remembered.cache_clear()
    try:
        assert Tokens()("running") == ["running"]
        assert "not stemmed" in caplog.text
        with pytest.raises(MissingExtraError, match="search"):
            Tokens(stemmer="english")
    finally:
        for remembered in (tokens._default_stemmer, tokens._stem):
            remembered.cache_clear()


def test_patterns_and_languages_that_do_not_exist_are_an_error():
    with pytest.raises(RetrievalError, match="regular expression"):
        Tokens(pattern="(")
    pytest.importorskip("Stemmer")
    with pytest.raises(RetrievalError, match="klingon"):
        Tokens(stemmer="klingon")
