import io
from dataclasses import replace
from types import SimpleNamespace

from example_results import CARD, example
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from fewer.compare.table import columns
from fewer.compare.terminal import card_table, table
from fewer.compare.wording import kept

RESULTS = example(layers=0)


def printed(renderable, width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    Console(file=file, width=width).print(renderable)
    return raw.getvalue().decode(encoding)


@settings(max_examples=15, deadline=None)
@given(st.integers(60, 240))
def test_nothing_is_cut_off_at_any_width(width):
    shown = printed(table(RESULTS), width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    for column in columns(RESULTS):
        if column.measure != "accuracy" or not column.against:
            assert shown.count(column.heading) >= len(RESULTS.budgets)


def test_a_pipe_gets_plain_text():
    assert "\x1b" not in printed(table(RESULTS)) + printed(card_table(CARD))


def test_each_density_has_its_block_with_the_arms_in_order():
    shown = printed(table(RESULTS))
    at = [shown.index(kept(budget)) for budget in RESULTS.budgets]
    assert at == sorted(at)
    names = [line.split()[0] for line in shown[at[0] : at[1]].splitlines() if line and line[0].isalpha()]
    arms = ["arm", "dense", "sparsegpt", "wanda", "magnitude", "random"]
    assert [name for name in names if name in arms][:6] == arms


def test_a_huge_perplexity_stays_readable():
    rows = [replace(row, quality={"perplexity": 41_000.0 + row.seed}) for row in RESULTS.rows]
    assert "4.1e+04 ±2.5" in printed(table(replace(RESULTS, rows=rows)))


def test_one_seed_and_missing_cells_are_told():
    one = example(layers=0, seeds=1)
    assert "one seed" in printed(table(one))
    assert "missing" in printed(table(replace(one, rows=[r for r in one.rows if r.arm != "wanda"])))


def test_a_comparison_that_has_not_begun_is_all_missing():
    assert "missing" in printed(table(replace(RESULTS, rows=[])))


def test_a_console_without_unicode_gets_ascii():
    shown = printed(table(RESULTS), encoding="ascii") + printed(card_table(CARD), encoding="ascii")
    assert "perplexity v" in shown
    assert "+-" in shown
    assert "\u2212" not in shown


def test_square_brackets_in_names_are_not_taken_for_markup():
    arms = {**RESULTS.arms, "wanda": replace(RESULTS.arms["wanda"], label="wanda[2:4]")}
    shown = printed(table(replace(RESULTS, arms=arms, title="[bold]plain")))
    assert "wanda[2:4]" in shown
    assert "[bold]plain" in shown


def test_the_card_shows_question_arm_verdict_value_interval_and_note():
    shown = printed(card_table(CARD))
    for words in ("Does the hardware gain?", "speed_measured", "sparsegpt", "warn", "0.98 x", "[0.95, 1.01]", "missing"):
        assert words in shown
    assert shown.count("doing it?") == 1


def test_a_card_may_be_an_object_with_items():
    items = [SimpleNamespace(**item) for item in CARD]
    assert printed(card_table(SimpleNamespace(items=items))) == printed(card_table({"items": CARD}))


def test_no_card_prints_nothing():
    assert printed(card_table(None)).strip() == ""
