import pytest

from fewer.core import NM, AbsTopK, Block, Rows, Slices, Stripe, TopK, Unstructured, parse_pattern
from fewer.core.pattern import SPELLINGS
from fewer.errors import PatternError


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("layer", Unstructured("layer")),
        ("unstructured", Unstructured("layer")),
        ("global", Unstructured("global")),
        ("row", Rows()),
        ("2:4", NM(2, 4)),
        ("0:1", NM(0, 1)),
        ("block:16x8", Block(16, 8)),
        ("block:16x8:row", Block(16, 8, "row")),
        ("stripe:64", Stripe(64)),
        ("neuron", Slices(0)),
        ("channel", Slices(0)),
        ("column", Slices(1)),
        ("slice:-1", Slices(-1)),
        ("slice:2", Slices(2)),
        ("head:64", Slices(0, 64)),
        ("head:64:1", Slices(1, 64)),
        ("head:64:-1", Slices(-1, 64)),
        ("topk", TopK()),
        ("abs-topk", AbsTopK()),
    ],
)
def test_every_spelling_is_read_and_what_is_printed_is_read_again(text, pattern):
    assert parse_pattern(text) == pattern
    assert parse_pattern(str(pattern)) == pattern


@pytest.mark.parametrize(
    "text", ["", "rows", "2:4:8", "2-4", "block:16", "block:16x", "head:", "stripe:-1", "ROW", " row", "block:axb"]
)
def test_an_unknown_spelling_lists_the_allowed_ones(text):
    with pytest.raises(PatternError) as caught:
        parse_pattern(text)
    assert f'"{text}"' in str(caught.value) and SPELLINGS in str(caught.value)


@pytest.mark.parametrize("text", ["5:4", "0:0", "block:0x4", "stripe:0"])
def test_a_pattern_that_cannot_be_is_refused(text):
    with pytest.raises(PatternError, match="at least"):
        parse_pattern(text)


def test_a_scope_that_does_not_exist_is_refused():
    with pytest.raises(PatternError, match="allowed: global, layer, row"):
        Unstructured("column")


def test_a_pattern_is_returned_as_it_is():
    pattern = NM(1, 4, axis=0)
    assert parse_pattern(pattern) is pattern


def test_a_pattern_that_does_not_fit_offers_a_way_out():
    with pytest.raises(PatternError, match=r"""Use pattern="row", or exclude it: exclude='model.down_proj'\."""):
        NM(2, 4).fit((3, 6), "model.down_proj")
