import sys

import pytest

from fewer.retrieval.collections import installed_texts as module
from fewer.retrieval.collections.installed_texts import installation, installed_texts

SOURCE = '''
"""Reads settings from a file and checks them against the allowed names."""
def one():
    """Return the very first of all values that were given. It is never empty.

    A caller who wants the last one should call the other function instead.

    Short one.
    """
def two():
    """Return the very first of all values that were given. It is never empty."""
def three():
    """Open the file again.

    What was read before is forgotten, and the next line is the first one.
    """
'''


@pytest.fixture
def found(tmp_path, monkeypatch):
    (tmp_path / "package.py").write_text(SOURCE)
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "inner.py").write_text(
        '"""This stands below another root and is read from there only once."""'
    )
    monkeypatch.setattr(module, "_roots", lambda: [tmp_path, tmp_path / "site-packages"])
    monkeypatch.setattr(module, "_described", lambda: ["A description of the package in more than eight words.\n\nToo short."])
    return installed_texts()


def test_questions_are_first_sentences_that_no_document_repeats(found):
    assert sorted(found.queries) == ["Open the file again.", "Return the very first of all values that were given."]
    assert not set(found.queries) & set(found.documents)


def test_documents_are_paragraphs_of_enough_words_each_once(found):
    assert sorted(found.documents) == [
        "A caller who wants the last one should call the other function instead.",
        "A description of the package in more than eight words.",
        "Reads settings from a file and checks them against the allowed names.",
        "This stands below another root and is read from there only once.",
        "What was read before is forgotten, and the next line is the first one.",
    ]


def test_more_than_wanted_are_thinned_in_an_order_of_their_own(found):
    fewer = installed_texts(largest=3, queries=1)
    assert fewer.documents[:1] and len(fewer.queries) == 1
    assert set(fewer.queries) <= set(found.queries)


def test_the_installation_has_a_name_that_follows_its_version(monkeypatch):
    name = installation()
    monkeypatch.setattr(sys, "version", "another")
    assert installation() != name
