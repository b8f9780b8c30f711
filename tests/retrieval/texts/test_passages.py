"""Passages keep every word, in order, and none is too long."""

from hypothesis import given
from hypothesis import strategies as st

from fewer.retrieval.texts.passages import passages
from fewer.retrieval.texts.spans import Span, excerpt

texts = st.lists(st.sampled_from(["word", "two.", "Three!", "\n", "\n\n", " ", "é", "x-y"]), max_size=60).map(" ".join)


@given(text=texts, words=st.integers(1, 9))
def test_every_word_is_kept_in_order_and_no_passage_is_too_long(text, words):
    parts = passages(text, words)
    assert " ".join(parts).split() == text.split()
    assert all(0 < len(part.split()) <= words for part in parts)


@given(count=st.integers(0, 40), words=st.integers(1, 9))
def test_all_passages_of_one_long_sentence_but_the_last_are_full(count, words):
    lengths = [len(part.split()) for part in passages("word " * count, words)]
    assert lengths == [words] * (count // words) + [count % words] * (count % words > 0)


def test_a_text_is_cut_between_paragraphs_first():
    assert passages("one two three\n\nfour five", 4) == ["one two three", "four five"]


def test_a_long_paragraph_is_cut_between_sentences():
    assert passages("One two three. Four five six.", 4) == ["One two three.", "Four five six."]


@given(
    text=st.text(alphabet="ab \n.é", min_size=1, max_size=900),
    starts=st.lists(st.integers(0, 899), max_size=9),
    shown=st.integers(20, 300),
)
def test_marks_of_an_excerpt_stand_for_what_they_mark(text, starts, shown):
    spans = [Span(at, min(at + 3, len(text)), "t") for at in sorted(starts) if at < len(text)]
    found = excerpt(text, spans, {"t": 1.0}, shown)
    assert found.text in text
    assert len(found.text) <= shown
    last = 0
    for start, stop in found.marks:
        assert last <= start < stop <= len(found.text)
        last = stop
    assert found.cut[0] == (not text.startswith(found.text)) or text.count(found.text) > 1


def test_an_excerpt_shows_the_heaviest_terms():
    text = "common " * 100 + "rare word here " + "common " * 100
    spans = [Span(i, i + 6, "common") for i in range(0, 700, 7)] + [Span(700, 704, "rare")]
    found = excerpt(text, sorted(spans), {"common": 0.1, "rare": 5.0})
    assert "rare word" in found.text
    assert "rare" in {found.text[start:stop] for start, stop in found.marks}
    assert found.cut == (True, True)
