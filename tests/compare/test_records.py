from dataclasses import dataclass
from types import SimpleNamespace

from example_results import CARD

from fewer.compare.records import items, verdicts


def item(**changes):
    return {"number": 1, "question": "Why?", "name": "gap", "arm": "a", "budget": 0.5, "value": 1.0, **changes}


def test_items_that_say_the_same_at_every_budget_and_of_every_arm_are_one():
    found = items([item(arm=arm, budget=budget) for arm in "ab" for budget in (0.5, 0.4)])
    assert [(i["arm"], i["budget"]) for i in found] == [("all", "all")]


def test_items_that_differ_in_value_stay_apart():
    found = items([item(), item(budget=0.4, value=2.0), item(budget=0.3)])
    assert [(i["budget"], i["value"]) for i in found] == [("0.5, 0.3", 1.0), ("0.4", 2.0)]


def test_a_card_of_one_arm_at_one_budget_names_both():
    assert [(i["arm"], i["budget"]) for i in items([item()])] == [("a", "0.5")]


def test_arms_are_joined_only_where_their_budgets_are_the_same():
    found = items([item(), item(budget=0.4), item(arm="b")])
    assert [(i["arm"], i["budget"]) for i in found] == [("a", "all"), ("b", "0.5")]


def test_items_come_in_the_order_of_their_questions():
    assert [i["number"] for i in items([item(number=7), item(number=2)])] == [2, 7]


def test_a_card_may_be_none_a_list_a_mapping_or_an_object():
    @dataclass(frozen=True)
    class Card:
        items: tuple

    assert items(None) == []
    assert items(CARD) == items({"items": CARD}) == items(Card(tuple(SimpleNamespace(**i) for i in CARD)))


def test_what_a_verdict_does_not_say_is_none():
    assert verdicts([{"claim": "x"}])[0]["rule"] is None
