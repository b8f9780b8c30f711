import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core import Selection, Selections, noise
from fewer.errors import SelectionError

quick = settings(deadline=None, max_examples=60)
masks = st.lists(st.integers(0, 6), max_size=3).flatmap(
    lambda shape: st.tuples(st.just(shape), st.integers(0, 99), st.sampled_from([0.0, 0.3, 1.0]))
).map(lambda drawn: noise(tuple(drawn[0]), drawn[1]) < drawn[2])  # fmt: skip


@quick
@given(mask=masks)
def test_mask_indices_and_packed_bits_are_three_forms_of_one_selection(mask):
    selection = Selection(mask, "row")
    for again in (
        Selection.from_indices(selection.indices(), tuple(mask.shape), "row"),
        Selection.from_packed(selection.packed(), tuple(mask.shape), "row"),
    ):
        assert torch.equal(again.mask, mask) and again.mask.shape == mask.shape and again.pattern == "row"
    assert selection.kept == int(mask.sum())
    assert len(selection.packed()) == -(-mask.numel() // 8)
    assert selection.density == (int(mask.sum()) / mask.numel() if mask.numel() else 1)


def test_bits_are_packed_lowest_first():
    assert Selection(torch.tensor([True, False, False, True, False, False, False, False, True])).packed().tolist() == [9, 1]


def test_a_mask_that_is_not_contiguous_is_packed_in_its_own_order():
    mask = (noise((5, 3), 0) < 0.5).t()
    assert torch.equal(Selection.from_packed(Selection(mask).packed(), (3, 5)).mask, mask)


@pytest.mark.parametrize(
    ("indices", "says"),
    [([-1], r"0\.\.5; they span -1\.\.-1"), ([0, 6], r"they span 0\.\.6"), ([2, 2, 3], "1 of 3 indices are given twice")],
)
def test_indices_out_of_place_are_refused(indices, says):
    with pytest.raises(SelectionError, match=says):
        Selection.from_indices(torch.tensor(indices), (2, 3))


def test_packed_bits_of_another_length_are_refused():
    with pytest.raises(SelectionError, match="takes 2 bytes, not 1"):
        Selection.from_packed(torch.zeros(1, dtype=torch.uint8), (3, 3))


def test_bits_set_beyond_the_end_are_damage():
    with pytest.raises(SelectionError, match="damaged"):
        Selection.from_packed(torch.tensor([0, 2], dtype=torch.uint8), (3, 3))


@quick
@given(first=st.sets(st.integers(0, 11)), second=st.sets(st.integers(0, 11)))
def test_overlap_is_the_jaccard_index(first, second):
    a, b = (Selection.from_indices(torch.tensor(sorted(s), dtype=torch.long), (3, 4)) for s in (first, second))
    assert a.overlap(b) == (len(first & second) / len(first | second) if first | second else 1)
    assert a.overlap(b) == b.overlap(a) and a.overlap(a) == 1


def test_selections_of_other_shapes_do_not_compare():
    with pytest.raises(SelectionError, match="do not compare"):
        Selection(torch.ones(2, 3).bool()).overlap(Selection(torch.ones(3, 2).bool()))


def some() -> Selections:
    return Selections(
        {
            "model.fc1": Selection(noise((7, 9), 1) < 0.5, "row"),
            "": Selection(noise((1, 1), 2) < 2, "2:4"),
            "empty": Selection(torch.zeros(0, 4, dtype=torch.bool)),
            "conv/\u00e9": Selection(noise((2, 3, 3, 3), 3) < 0.2, "layer"),
        }
    )


def test_selections_count_over_all_tensors_together():
    selections = some()
    kept = sum(selections[name].kept for name in selections)
    assert selections.kept == kept and selections.size == 63 + 1 + 54
    assert selections.density == kept / 118
    assert Selections({}).density == 1


def test_overlap_of_selections_is_over_all_tensors_together():
    mask = torch.tensor([True, True, False, False])
    a = Selections({"x": Selection(mask), "y": Selection(~mask)})
    b = Selections({"x": Selection(mask), "y": Selection(mask)})
    assert a.overlap(b) == 2 / 6
    with pytest.raises(SelectionError, match="different tensors: y"):
        a.overlap(Selections({"x": Selection(mask)}))
    with pytest.raises(SelectionError, match="x has shapes"):
        Selections({"x": Selection(mask)}).overlap(Selections({"x": Selection(mask[:3])}))


def test_reserved_room_is_filled_and_holds_what_ordinary_selections_hold():
    ordinary = some()
    reserved = Selections.reserved({name: tuple(ordinary[name].mask.shape) for name in ordinary})
    assert reserved.kept == 0
    for name in reversed(list(ordinary)):
        reserved.add(name, ordinary[name])
    assert list(reserved) == list(ordinary)
    for name, selection in ordinary.items():
        assert torch.equal(reserved[name].mask, selection.mask) and reserved[name].pattern == selection.pattern
    assert reserved.kept == ordinary.kept and reserved.overlap(ordinary) == 1


def test_what_is_taken_out_does_not_change_what_is_held():
    selections = some()
    selections["model.fc1"].mask.fill_(False)
    assert selections["model.fc1"].kept == selections._packed["model.fc1"].kept > 0


def test_selections_are_copied_whole():
    assert copy.deepcopy(some()).overlap(some()) == 1
    assert "118" in repr(some())
