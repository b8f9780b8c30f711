"""The report's tables as HTML: figures by budget, the ten-lessons card, and verdicts."""

import math
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from fewer.compare.html.markup import Markup, join, tag, text
from fewer.compare.records import items, verdicts
from fewer.compare.result import Results
from fewer.compare.table import Block, Column, Figure, Line, blocks, columns
from fewer.compare.terminal import amount, interval
from fewer.compare.wording import MISSING, TIMES, kept, number

NO_BREAK = "\u00a0"


def main_tables(results: Results, colours: Mapping[str, str]) -> Markup:
    """One table a budget, each in a box of its own that scrolls sideways."""
    heads = columns(results)
    return join(_block(block, heads, colours) for block in blocks(results))


def card_table(card: Any) -> Markup:
    """The ten-lessons card as one table, a group of rows for each question; nothing for None."""
    groups = [(question, list(group)) for question, group in groupby(items(card), lambda i: i["question"] or "")]
    if not groups:
        return Markup()
    heads = ("Verdict", "Item", "Arm", "Density", "Value", "95% interval", "Kind", "Note")
    head = tag("tr", *(tag("th", h, scope="col", class_="value" if h in heads[4:6] else None) for h in heads))
    bodies = (
        tag(
            "tbody",
            tag("tr", tag("th", tag("span", question), scope="rowgroup", colspan="8", class_="question")),
            *map(_item, group),
        )
        for question, group in groups
    )
    return scroll("Ten lessons", tag("table", tag("thead", head), *bodies, class_="card"))


def verdict_list(found: Iterable[Any]) -> Markup:
    """Claims with their verdict, rule, effect and the paper's figure."""
    return join(_verdict(record) for record in verdicts(found))


def scroll(label: str, inside: Markup) -> Markup:
    """A box that scrolls by itself, and by keyboard."""
    return tag("div", inside, class_="scroll", role="region", aria_label=label, tabindex="0")


def _block(block: Block, heads: tuple[Column, ...], colours: Mapping[str, str]) -> Markup:
    title = f"Density {block.budget:g}: {kept(block.budget)}"
    head = tag(
        "tr",
        tag("th", "Arm", scope="col"),
        *(tag("th", _heading(c), scope="col", title=_meaning(c), class_=_apart(c)) for c in heads),
        tag("th", "Seeds", scope="col"),
    )
    rows = (_line(line, heads, colours) for line in block.lines)
    body = tag("table", tag("caption", title), tag("thead", head), tag("tbody", *rows), class_="figures")
    return scroll(title, body)


def _line(line: Line, heads: tuple[Column, ...], colours: Mapping[str, str]) -> Markup:
    swatch = tag("span", class_="swatch", style=f"background:var({colours[line.arm]})", aria_hidden="true")
    cells = (tag("td", _cell(figure), class_=_apart(head)) for head, figure in zip(heads, line.figures, strict=True))
    return tag("tr", tag("th", swatch, line.label, scope="row"), *cells, tag("td", line.seeds), class_=line.kind)


def _cell(figure: Figure) -> Markup:
    if figure.mean == MISSING:
        return tag("span", MISSING, class_="quiet")
    ratio = f"{figure.ratio:.2f}{TIMES}" if math.isfinite(figure.ratio) else ""
    below = " · ".join(words for words in (figure.spread, ratio) if words)
    return join((figure.mean, tag("small", below) if below else ""))


def _heading(column: Column) -> Markup:
    if column.against:
        return text(column.heading.replace(" ", NO_BREAK))
    arrow = "↓" if column.better == "lower" else "↑"
    unit = tag("small", column.scale.unit) if column.scale.unit else ""
    return join((f"{column.scale.title}{NO_BREAK}{arrow}", unit))


def _apart(column: Column) -> str | None:
    """A measure stands apart from what is left of it; its differences stand close."""
    return None if column.against else "apart"


def _meaning(column: Column) -> str:
    if column.against:
        return f"{column.scale.title}: paired difference to {column.against}"
    return f"{column.measure}; {column.better} is better"


def _item(item: dict[str, Any]) -> Markup:
    return tag(
        "tr",
        tag("td", badge(item["verdict"] or "n/a")),
        tag("th", str(item["name"] or "").replace("_", " "), scope="row"),
        tag("td", item["arm"]),
        tag("td", item["budget"]),
        tag("td", _value(item), class_="value"),
        tag("td", interval(item), class_="value"),
        tag("td", item["kind"] or "", class_="quiet"),
        tag("td", item["note"] or "", class_="note"),
    )


def _value(item: dict[str, Any]) -> Markup:
    if item["kind"] == MISSING or item["value"] is None:
        return tag("span", MISSING, class_="quiet")
    return join((amount(item),))


def badge(verdict: str) -> Markup:
    """A verdict as a word in its colour."""
    good, open_, bad = ("pass", "confirmed"), ("warn", "inconclusive"), ("fail", "refuted")
    look = next((name for name, words in (("good", good), ("open", open_), ("bad", bad)) if verdict in words), "none")
    return tag("span", verdict, class_=f"badge {look}")


def _verdict(record: dict[str, Any]) -> Markup:
    why = record["why"]
    measure = f" ({record['effect_measure'].replace('_', ' ')})" if record["effect_measure"] else ""
    facts = {
        "Rule": record["rule"],
        "Found": why if isinstance(why, str) or why is None else "\n".join(map(str, why)),
        f"Effect{measure}": _effect(record["effect"]),
        "Paper": record["paper"],
    }
    where = " · ".join(str(record[key]) for key in ("slug", "scale") if record[key])
    return tag(
        "article",
        tag("h3", badge(record["verdict"] or "inconclusive"), " ", record["claim"] or where),
        tag("p", where, class_="quiet") if record["claim"] else "",
        tag("dl", *(join((tag("dt", name), tag("dd", words))) for name, words in facts.items() if words)),
        class_="verdict",
    )


def _effect(effect: Any) -> str:
    """An Interval, a mapping with its names, or a mapping of these by opponent, as one line."""
    if effect is None:
        return ""
    if hasattr(effect, "_asdict"):
        effect = effect._asdict()
    if not isinstance(effect, Mapping):
        return str(effect)
    if "mean" not in effect:
        parts = ((name, _effect(inner)) for name, inner in effect.items())
        return "\n".join(f"{name.replace('_', ' ')}: {words}" for name, words in parts if words)
    limits = interval({"low": effect.get("low"), "high": effect.get("high")})
    return f"{number(effect['mean'], sign=True)} {limits}".strip()
