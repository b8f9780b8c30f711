import math
from dataclasses import replace

import pytest
from example_results import example

from fewer.compare.result import ArmFacts, Row
from fewer.compare.table import blocks, columns, figure, opponent, ordered


def with_rows(results, keep):
    return replace(results, rows=[row for row in results.rows if keep(row)])


def at(results, measure, against=""):
    return next(c for c in columns(results) if (c.measure, c.against) == (measure, against))


def test_dense_leads_methods_follow_from_best_to_worst_and_random_is_last():
    assert ordered(example(), 0.5) == ["dense", "sparsegpt", "wanda", "magnitude", "random"]
    higher = replace(example(), quality={"accuracy": "higher", "perplexity": "lower"})
    assert ordered(higher, 0.5) == ["dense", "sparsegpt", "wanda", "magnitude", "random"]


def test_a_method_that_was_not_measured_stands_behind_those_that_were():
    results = with_rows(example(), lambda row: row.arm != "sparsegpt")
    assert ordered(results, 0.5) == ["dense", "wanda", "magnitude", "sparsegpt", "random"]


def test_the_primary_quality_and_its_differences_come_first_and_costs_last():
    assert [(c.measure, c.against) for c in columns(example())][:4] == [
        ("perplexity", ""),
        ("perplexity", "dense"),
        ("perplexity", "random"),
        ("accuracy", ""),
    ]
    assert [c.cost for c in columns(example())] == [False] * 6 + [True] * 4


def test_every_line_has_a_figure_for_every_column():
    results = example()
    assert all(len(line.figures) == len(columns(results)) for block in blocks(results) for line in block.lines)


def test_differences_are_those_of_the_results():
    results = example()
    found = figure(results, "wanda", 0.4, at(results, "perplexity", "dense"))
    assert found.interval == results.versus("wanda", "dense", 0.4, "perplexity")
    assert found.mean.startswith("+")


def test_one_measurement_that_stands_for_all_seeds_has_no_interval():
    results = example()
    found = figure(results, "dense", 0.5, at(results, "perplexity"))
    assert found.text == "15"
    assert math.isnan(found.interval.low)


def test_the_difference_of_two_fixed_arms_has_no_interval():
    results = example()
    copies = [replace(r, detail={"shared": r.seed > 0}) if r.arm == "wanda" else r for r in results.rows]
    found = figure(replace(results, rows=copies), "wanda", 0.5, at(results, "perplexity", "dense"))
    assert found.spread == ""


def test_one_seed_is_told():
    results = example(seeds=1)
    assert figure(results, "wanda", 0.5, at(results, "perplexity")).spread == "one seed"
    assert figure(results, "wanda", 0.5, at(results, "perplexity", "dense")).spread == "one seed"


def test_a_missing_cell_is_told_and_a_half_finished_arm_counts_its_seeds():
    results = with_rows(example(), lambda r: r.arm != "wanda" or (r.budget, r.seed) in [(0.5, 0), (0.5, 1)])
    lines = {(b.budget, line.arm): line for b in blocks(results) for line in b.lines}
    assert lines[0.5, "wanda"].seeds == "2 of 3"
    assert lines[0.4, "wanda"].seeds == "0 of 3"
    assert {f.mean for f in lines[0.4, "wanda"].figures} == {"missing"}


@pytest.mark.parametrize(("value", "shown"), [(math.inf, "infinite"), (math.nan, "unknown")])
def test_a_value_that_is_no_finite_number_is_a_word_and_stops_nothing(value, shown):
    results = example()
    rows = [replace(r, quality={**r.quality, "perplexity": value}) if r.arm == "random" else r for r in results.rows]
    results = replace(results, rows=rows)
    found = figure(results, "random", 0.5, at(results, "perplexity"))
    assert found.mean == (shown if value == math.inf else "missing")
    assert len(blocks(results)) == 3


def test_one_unknown_seed_makes_the_mean_unknown():
    results = example()
    rows = [
        replace(r, quality={**r.quality, "perplexity": math.nan}) if (r.arm, r.seed) == ("wanda", 0) else r
        for r in results.rows
    ]
    results = replace(results, rows=rows)
    assert figure(results, "wanda", 0.5, at(results, "perplexity")).mean == "unknown"
    assert figure(results, "wanda", 0.5, at(results, "perplexity", "dense")).mean == "unknown"


def test_an_arm_is_held_against_its_own_twin():
    results = example()
    arms = {**results.arms, "random wanda": ArmFacts("random", "random wanda", twin_of="wanda")}
    results = replace(results, arms=arms, rows=[*results.rows, Row("random wanda", 0.5, 0, {"perplexity": 99.0}, {})])
    assert opponent(results, "wanda", "random") == "random wanda"
    assert opponent(results, "sparsegpt", "random") == "random"


def test_without_a_dense_arm_there_is_no_difference_to_it():
    results = example()
    arms = {name: facts for name, facts in results.arms.items() if name != "dense"}
    results = with_rows(replace(results, arms=arms), lambda row: row.arm != "dense")
    assert {c.against for c in columns(results)} == {"", "random"}
    assert len(blocks(results)) == 3


def test_a_cost_stands_beside_its_share_of_dense():
    results = example()
    assert figure(results, "wanda", 0.5, at(results, "flops_active")).ratio == pytest.approx(0.6)
    assert math.isnan(figure(results, "dense", 0.5, at(results, "flops_active")).ratio)
