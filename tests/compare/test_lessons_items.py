import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.compare.lessons import FACTS, card
from fewer.compare.result import ArmFacts, Results, Row

ARMS = {
    "dense": ArmFacts("dense", "dense"),
    "random": ArmFacts("random", "random", phase="before", pattern="unstructured", twin_of="rigl"),
    "rigl": ArmFacts("method", "rigl", phase="during", pattern="unstructured"),
}
DENSE = [0.96, 0.97, 0.98]


def results(
    arm: str = "rigl", metric=(0.9, 0.92, 0.94), dense=DENSE, arms=ARMS, way="higher", detected=None, **facts
) -> Results:
    """One arm at density 0.05 with these numbers for each seed, beside the dense arm."""
    rows = [Row("dense", 1.0, seed, {"accuracy": value}, {}) for seed, value in enumerate(dense)]
    for seed, value in enumerate(metric):
        mine = {name: values[seed] for name, values in facts.items()}
        rows.append(Row(arm, 0.05, seed, {"accuracy": value}, {}, {"facts": mine, "detected": detected or {}}))
    return Results("made up", "", "", {"accuracy": way}, arms, [0.05], list(range(len(metric))), rows)


def only(found: Results, name: str, arm: str = "rigl"):
    (item,) = card(found).of(arm, 0.05, name)
    return item


def test_a_gap_by_hand():
    item = only(results(small_dense=[0.95, 0.95, 0.95]), "gap_small_dense")
    half = 4.302652729911275 * 0.02 / math.sqrt(3)  # t with 2 degrees of freedom; differences -0.05, -0.03, -0.01
    assert (item.value, item.low, item.high) == pytest.approx((-0.03, -0.03 - half, -0.03 + half))
    assert (item.number, item.unit, item.kind) == (1, "accuracy", "computed")


@pytest.mark.parametrize(
    ("small", "verdict"),
    [([0.95, 0.97, 0.99], "fail"), ([0.95, 0.95, 0.95], "n/a"), ([0.8, 0.82, 0.84], "pass")],
)
def test_item_1_fails_when_the_whole_interval_says_a_small_dense_network_is_better(small, verdict):
    assert only(results(small_dense=small), "gap_small_dense").verdict == verdict


def test_where_lower_is_better_the_verdicts_turn_and_the_numbers_do_not():
    item = only(results(small_dense=[0.8, 0.82, 0.84], way="lower"), "gap_small_dense")
    assert item.value == pytest.approx(0.1)
    assert item.verdict == "fail"


@pytest.mark.parametrize(
    ("random", "verdict"),
    [([0.8, 0.82, 0.84], "pass"), ([0.85, 0.95, 0.95], "warn"), ([0.95, 0.97, 0.99], "warn")],
)
def test_item_7_warns_unless_the_interval_lies_above_random_masks(random, verdict):
    found = results(random_same_ratios=random, random_uniform=[0.1, 0.2, 0.1])
    assert only(found, "gap_random_same_ratios").verdict == verdict
    assert only(found, "gap_random_uniform").verdict == "pass"


def test_item_7_takes_the_random_twin_where_no_fact_is_given():
    found = results()
    twin = [Row("random", 0.05, seed, {"accuracy": 0.8 + 0.01 * seed}, {}) for seed in range(3)]
    item = only(Results(**{**vars(found), "rows": found.rows + twin}), "gap_random_same_ratios")
    assert item.value == pytest.approx(0.92 - 0.81)
    assert only(found, "gap_random_same_ratios").kind == "missing"


@pytest.mark.parametrize(
    ("latency", "active", "simulated", "verdict"),
    [
        (1.2, 50, 0, "warn"),  # twenty times fewer products, and slower
        (0.8, 50, 0, "pass"),
        (1.2, 800, 0, "pass"),  # 1.25 times fewer: nothing was promised
        (0.8, 50, 1, "warn"),  # a masked product is no kernel, however fast the machine was that moment
    ],
)
def test_item_2_warns_when_theory_promises_and_the_clock_does_not_keep_it(latency, active, simulated, verdict):
    found = results(
        macs_dense=[1000] * 3, macs_active=[active] * 3, latency_ms=[latency] * 3, latency_ms_dense=[1.0] * 3,
        simulated=[simulated] * 3,
    )  # fmt: skip
    item = only(found, "speed_measured")
    assert item.verdict == verdict
    assert item.value == pytest.approx(1 / latency)
    assert ("simulated: no speed-up" in item.note) == bool(simulated)
    assert only(found, "speed_theory").value == 1000 / active


@pytest.mark.parametrize(
    ("said", "found", "conflict"),
    [
        ("2:4", "unstructured", True),
        ("2:4", "1:4", False),
        ("2:4", "4:8", True),
        ("4:8", "2:4", False),
        ("2:4", "dense", False),
        ("block:4x4", "block:8x8", False),
        ("block:8x8", "block:4x4", True),
        ("block:4x4", "2:4", True),
        ("block:4x4", "4:8", False),
        ("neuron", "unstructured", True),
        ("neuron", "neuron", False),
        ("head:8", "block:8x8", True),
        ("unstructured", "2:4", False),
        ("row", "unstructured", False),
        ("dense", "unstructured", True),
        ("16:32", "unstructured", False),
        ("column", "unstructured", False),
    ],
)
def test_a_stated_pattern_that_the_detector_contradicts_is_printed_as_a_conflict(said, found, conflict):
    item = only(results(arms={**ARMS, "rigl": ArmFacts("method", "rigl", pattern=said)}, detected={"up": found}), "pattern")
    assert (item.value, item.kind) == (said, "stated")
    assert item.note.startswith("conflict") == conflict
    assert item.verdict == ("warn" if conflict else "n/a")


def test_a_pattern_that_no_one_states_is_the_detected_one():
    item = only(results(arms={**ARMS, "rigl": ArmFacts("method", "rigl")}, detected={"up": "2:4"}), "pattern")
    assert (item.value, item.kind) == ("2:4", "computed")


def test_items_3_to_5_by_hand():
    found = results(
        peak_density=[1.0] * 3, train_macs=[30.0, 40, 50], train_macs_dense=[100.0] * 3, memory_peak=[5.0] * 3,
        memory_peak_dense=[20.0] * 3, r_itop=[0.2, 0.3, 0.4], churn=[0.0, 0.1, 0.2],
    )  # fmt: skip
    names = ["phase", "peak_density", "train_cost_ratio", "memory_ratio", "r_itop", "churn"]
    items = [only(found, name) for name in names]
    assert [i.value for i in items] == ["during", 1.0, pytest.approx(0.4), 0.25, pytest.approx(0.3), pytest.approx(0.1)]
    assert {i.verdict for i in items} == {"n/a"}


@pytest.mark.parametrize(
    ("given", "epochs", "flops"), [("both", "pass", "pass"), ("epochs", "warn", "n/a"), ("flops", "n/a", "warn")]
)
def test_item_8_warns_when_only_one_of_the_two_lengths_is_given(given, epochs, flops):
    facts = {}
    if given != "flops":
        facts |= {"dense_equal_epochs": DENSE}
    if given != "epochs":
        facts |= {"at_equal_flops": [0.95] * 3, "dense_at_equal_flops": DENSE}
    found = results(**facts)
    assert only(found, "gap_at_equal_epochs").verdict == epochs
    assert only(found, "gap_at_equal_flops").verdict == flops


@pytest.mark.parametrize(("rise", "verdict"), [(0.03, "warn"), (0.01, "pass"), (-0.1, "pass")])
def test_item_9_warns_when_calibration_worsens_by_more_than_two_hundredths(rise, verdict):
    found = results(ece=[0.1 + rise] * 3)
    dense = [Row("dense", 1.0, s, {"accuracy": DENSE[s], "ece": 0.1}, {}) for s in range(3)]
    item = only(Results(**{**vars(found), "rows": dense + found.rows[3:]}), "ece")
    assert item.value == pytest.approx(rise)
    assert item.verdict == verdict


@pytest.mark.parametrize(("effective", "verdict"), [(0.02, "warn"), (0.04, "pass"), (0.05, "pass")])
def test_item_10_warns_when_weights_are_kept_for_nothing(effective, verdict):
    found = results(nominal_density=[0.05] * 3, effective_density=[effective] * 3, total_density=[0.06] * 3)
    assert only(found, "effective_sparsity").verdict == verdict
    assert only(found, "nominal_sparsity").value == pytest.approx(0.95)
    assert only(found, "total_sparsity").value == pytest.approx(0.94)


@pytest.mark.parametrize(
    ("small", "saturated"),
    [([0.93, 0.95, 0.97], False), ([0.94, 0.96, 0.98], True), ([0.99, 0.99, 0.99], True)],  # errors 0.0115, 0.0115, 0
)
def test_item_10_warns_when_a_small_dense_network_does_as_well_as_the_large_one(small, saturated):
    item = only(results(small_dense=small), "saturated")
    assert item.value is saturated
    assert item.verdict == ("warn" if saturated else "pass")


def all_facts(values: list[float]) -> dict[str, list[float]]:
    return dict.fromkeys(FACTS, values)


def test_below_three_seeds_nothing_is_judged():
    found = card(results(metric=(0.9, 0.92), dense=DENSE[:2], **all_facts([0.1, 0.5])))
    assert {i.verdict for i in found.items if i.number != 6} == {"n/a"}
    assert "not enough seeds (2)" in found.of("rigl", name="gap_small_dense")[0].note


def test_a_cell_that_stands_for_another_seed_is_no_evidence_of_its_own():
    found = results(churn=[0.1] * 3, small_dense=[0.99] * 3)
    shared = [Row(r.arm, r.budget, r.seed, r.quality, r.cost, {**r.detail, "shared": r.seed > 0}) for r in found.rows]
    item = only(Results(**{**vars(found), "rows": shared}), "gap_small_dense")
    assert (item.verdict, item.note) == ("n/a", "not enough seeds (1)")


def test_what_is_missing_is_printed_and_never_passes():
    items = [i for i in card(results()).items if i.kind == "missing"]
    assert {i.number for i in items} == {1, 2, 3, 4, 5, 7, 8, 9, 10}
    assert all(i.value is None and i.verdict == "n/a" and i.note.startswith("needs ") for i in items)


@given(given=st.sets(st.sampled_from(sorted(FACTS))), value=st.floats(0.01, 1))
@settings(deadline=None)
def test_whatever_is_left_out_no_missing_item_passes(given, value):
    found = card(results(**{name: [value, value / 2, value / 3] for name in given}))
    assert all(i.verdict != "pass" for i in found.items if i.kind == "missing" or i.value is None)
    assert {i.number for i in found.items} == set(range(1, 11))


@given(data=st.data())
@settings(deadline=None, max_examples=50)
def test_nothing_changes_when_rows_are_permuted_or_seeds_relabelled(data):
    numbers = st.lists(st.floats(0.01, 1), min_size=4, max_size=4)
    found = results(metric=data.draw(numbers), dense=data.draw(numbers), **{name: data.draw(numbers) for name in sorted(FACTS)})
    labels = data.draw(st.permutations([7, 100, 3, 0]))
    rows = [Row(r.arm, r.budget, labels[r.seed], r.quality, r.cost, r.detail) for r in found.rows]
    other = Results(**{**vars(found), "rows": data.draw(st.permutations(rows)), "seeds": sorted(labels)})
    assert card(other) == card(found)


def test_infinite_quality_is_reported_and_not_judged():
    item = only(results(metric=(math.inf, math.inf, math.inf), small_dense=[1.0, 2.0, 3.0]), "gap_small_dense")
    assert (item.value, item.verdict, item.note) == (None, "n/a", "not finite")


def test_a_comparison_without_a_dense_arm_has_a_card_all_the_same():
    found = results(dense=[], arms={"rigl": ARMS["rigl"]}, ece=[0.1] * 3)
    assert only(found, "ece").kind == "missing"


def test_the_card_is_plain_json_and_names_every_question():
    found = card(results(**all_facts([0.1, 0.2, 0.4])))
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [i["name"] for i in plain["items"]] == [i.name for i in found.items]
    assert {i["arm"] for i in plain["items"]} == {"rigl"}
    assert all(i["question"].endswith("?") for i in plain["items"])
