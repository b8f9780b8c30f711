import pytest

from fewer.compare.lessons import card, comparable, ranking
from fewer.compare.result import ArmFacts, Results, Row
from fewer.errors import StoreError

ARMS = {
    "dense": ArmFacts("dense", "dense"),
    "static": ArmFacts("random", "static", phase="before"),
    "set": ArmFacts("method", "set", phase="during"),
    "rigl": ArmFacts("method", "rigl", phase="during"),
    "tuned": ArmFacts("method", "tuned", phase="after", needs_data=True, needs_pretrained=True),
}
ACCURACY = {"dense": 0.97, "static": 0.87, "set": 0.91, "rigl": 0.94, "tuned": 0.95}


def results(without: tuple[str, ...] = (), way: str = "higher") -> Results:
    arms = {name: facts for name, facts in ARMS.items() if name not in without}
    rows = [Row(arm, 1.0 if arm == "dense" else 0.05, s, {"accuracy": ACCURACY[arm]}, {}) for arm in arms for s in range(3)]
    return Results("made up", "", "", {"accuracy": way}, arms, [0.05], [0, 1, 2], rows)


def test_arms_compare_only_when_phase_and_needs_are_equal():
    assert comparable(results(), "set", "rigl")
    assert not comparable(results(), "rigl", "tuned")
    assert not comparable(results(), "rigl", "static")


def test_ranks_are_given_inside_classes_only():
    assert list(ranking(results(), 0.05).values()) == [["rigl", "set"], ["tuned"]]
    assert list(ranking(results(way="lower"), 0.05).values()) == [["set", "rigl"], ["tuned"]]


def test_an_arm_beside_others_of_its_class_alone_is_not_warned_of():
    (item,) = card(results(without=("tuned",))).of("rigl", name="comparable_with")
    assert (item.value, item.verdict, item.note) == ("set", "n/a", "")


def test_an_arm_beside_other_classes_is_warned_of_them():
    (item,) = card(results()).of("tuned", name="comparable_with")
    assert (item.value, item.verdict) == ("none", "warn")
    assert item.note == "different class, not to be ranked with it: set, rigl"


def test_random_and_dense_arms_are_told_what_does_not_apply_to_them():
    found = results()
    small = Results(**{**vars(found), "arms": {**found.arms, "set": ArmFacts("method", "small", pattern="dense")}})
    values = {i.name: i.value for i in card(small).of("set") if i.number in (1, 7)}
    assert set(values.values()) == {"is a dense network"}
    assert {i.value for i in card(small).of("static") if i.number == 7} == {"is the random baseline"}


def test_an_arm_that_is_not_there_does_not_compare():
    with pytest.raises(StoreError, match="no arm snip"):
        comparable(results(), "rigl", "snip")
