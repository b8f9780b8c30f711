import html
import json
import math
import re
import time
from dataclasses import replace

import pytest
from example_results import CARD, VERDICTS, example

from fewer.compare.html import page, write
from fewer.compare.html.charts import charts, window
from fewer.compare.html.layers import merged, shorter
from fewer.compare.html.outcome import outcome
from fewer.compare.result import Results
from fewer.measure.statistics import Interval

RESULTS = example()
PAGE = page(RESULTS, CARD, VERDICTS)
OWN = re.sub(r"<script>.*?</script>", "", PAGE, flags=re.DOTALL)
"""The page without its scripts."""


def embedded(written: str, name: str):
    return re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', written, re.DOTALL)[1]


def test_the_page_says_what_was_found_on_which_data_with_which_seeds():
    for words in (RESULTS.title, html.escape(outcome(RESULTS)), RESULTS.data, "3 (0, 1, 2)", "no model: made up"):
        assert words in OWN


def test_the_sections_come_in_order():
    ids = ["figures", "front", "difference", "layers-title", "scores-title", "lessons", "verdicts", "setup"]
    places = [OWN.index(f'<h2 id="{name}"') for name in ids]
    assert places == sorted(places)


def test_the_page_asks_for_no_other_file():
    links = re.findall(r'(?:src|href|srcset|action)="([^"]*)"', OWN)
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "@import" not in OWN
    assert "url(" not in OWN


def test_table_heads_say_what_they_head():
    assert re.findall(r"<th(?![^>]*scope=)[ >]", OWN) == []
    assert OWN.count("<caption>") == len(RESULTS.budgets)


def test_lessons_and_claims_show_their_verdict_and_reason():
    for item in CARD:
        assert html.escape(item["note"]) in OWN
    for verdict in VERDICTS:
        assert html.escape(verdict["rule"]) in OWN
        assert f">{verdict['verdict']}<" in OWN


def test_without_card_claims_or_layers_their_sections_are_left_out():
    written = page(replace(RESULTS, rows=[replace(row, detail={}) for row in RESULTS.rows]))
    for name in ("lessons", "verdicts", "layers-title", "scores-title"):
        assert f'id="{name}"' not in written


def test_the_embedded_data_are_the_results_without_histograms():
    read = Results.from_json(embedded(PAGE, "results"))
    assert [row.quality for row in read.rows] == [row.quality for row in RESULTS.rows]
    assert read.rows[-1].detail["layers"][0].keys() == {"name", "shape", "density", "error"}


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'$title${outcome}\u2028"


def test_names_from_the_results_cannot_become_markup():
    arms = {
        name: replace(facts, label=HOSTILE + name, configuration={HOSTILE: [HOSTILE]}) for name, facts in RESULTS.arms.items()
    }
    card = [{**item, "note": HOSTILE, "question": HOSTILE, "arm": HOSTILE} for item in CARD]
    claims = [{**verdict, "claim": HOSTILE, "rule": HOSTILE, "verdict": HOSTILE} for verdict in VERDICTS]
    hostile = replace(RESULTS, name=HOSTILE, title=HOSTILE, data=HOSTILE, arms=arms, environment={HOSTILE: {HOSTILE: HOSTILE}})
    written = page(hostile, card, claims)
    assert "<img" not in re.sub(r"<script>.*?</script>", "", written, flags=re.DOTALL)
    assert written.count("<script>alert") == 0
    assert written.count("</script>") == PAGE.count("</script>")
    assert Results.from_json(embedded(written, "results")).title == HOSTILE
    assert json.loads(embedded(written, "charts"))["arms"][0]["label"] == HOSTILE + "dense"


def test_the_page_of_a_large_comparison_is_quick_and_below_8_megabytes():
    large = example(layers=210, bins=64)
    started = time.process_time()
    written = page(large, CARD, VERDICTS)
    assert len(written.encode()) < 8e6
    assert time.process_time() - started < 2


def test_the_outcome_tells_cost_gain_and_noise_apart():
    assert outcome(RESULTS).startswith("At 50% density, sparsegpt costs +4.81 ±0.82 perplexity against dense; random costs")
    assert "0.97 times the latency, 0.70 times the bytes stored" in outcome(RESULTS)
    assert "sparsegpt costs \u22120.1363" in outcome(replace(RESULTS, quality={"accuracy": "higher"}))

    def with_wanda(*perplexities):
        rows = [
            replace(r, quality={"perplexity": perplexities[r.seed]}) if (r.arm, r.budget) == ("wanda", 0.5) else r
            for r in RESULTS.rows
        ]
        return outcome(replace(RESULTS, rows=rows))

    assert "wanda gains \u22122.00 ±0.25" in with_wanda(12.9, 13.0, 13.1)
    assert "wanda is within noise of dense" in with_wanda(14.0, 15.0, 16.5)


def test_the_outcome_tells_one_seed_and_an_infinite_random_baseline():
    one = example(layers=0, seeds=1)
    rows = [replace(r, quality={"perplexity": math.inf}) if r.arm == "random" else r for r in one.rows]
    said = outcome(replace(one, rows=rows))
    assert "perplexity against dense (one seed); random has an infinite perplexity." in said


def test_an_unfinished_comparison_says_so():
    assert outcome(replace(RESULTS, rows=[])).startswith("Not enough is finished")
    assert "missing" in page(replace(RESULTS, rows=[]))


def test_write_leaves_a_whole_file_or_none(tmp_path, monkeypatch):
    path = write(tmp_path / "new" / "report.html", RESULTS, CARD, VERDICTS)
    assert path.read_text(encoding="utf-8") == PAGE
    monkeypatch.setattr("fewer.compare.html.report.charts", lambda results: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(path, RESULTS)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    assert path.read_text(encoding="utf-8") == PAGE


def test_every_arm_has_one_colour_and_dense_and_random_their_own():
    arms = {arm["name"]: arm["colour"] for arm in charts(RESULTS)["arms"]}
    assert arms["dense"] == "--arm-dense"
    assert arms["random"] == "--arm-random"
    assert len(set(arms.values())) == len(arms)
    assert all(f"{colour}:" in PAGE for colour in arms.values())


def test_the_front_holds_what_no_point_beats():
    drawn = charts(RESULTS)
    cheapest = [drawn["points"][i] for i in drawn["fronts"]["flops_active"]["perplexity"]]
    assert [(p["arm"], p["budget"]) for p in cheapest] == [
        ("sparsegpt", "0.3"),
        ("sparsegpt", "0.4"),
        ("sparsegpt", "0.5"),
        ("dense", "1"),
    ]


def test_an_axis_is_logarithmic_only_over_a_wide_range():
    measures = charts(RESULTS)["measures"]
    assert measures["perplexity"]["log"]
    assert not measures["latency_ms"]["log"]


def test_a_far_point_does_not_flatten_the_near_ones():
    near, far = Interval(5, 4, 6, 3), Interval(40_000, 39_000, 41_000, 3)
    low, high = window([near, near, far])
    assert low < 0 < 6 < high < 10
    assert window([near, near]) is None
    assert window([]) is None


def test_layer_names_lose_what_all_of_them_share():
    assert shorter(["m.layers.0.q.weight", "m.layers.1.k.weight"]) == ["0.q", "1.k"]
    assert shorter(["a.b", "a.b.c"]) == ["b", "b.c"]
    assert shorter(["only.one"]) == ["only.one"]


def test_merged_histograms_keep_every_count():
    edges, kept, dropped = merged({"edges": list(range(66)), "kept": [1] * 65, "dropped": [2] * 65})
    assert (sum(kept), sum(dropped)) == (65, 130)
    assert (edges[0], edges[-1]) == (0, 65)
    assert len(edges) == len(kept) + 1 <= 33
