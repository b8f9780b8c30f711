"""Results and the ten-lessons card as rich renderables: 80 columns, a pipe, or a wide screen."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from fewer.compare.records import items
from fewer.compare.result import Results
from fewer.compare.table import Block, Column, Figure, Line, blocks, columns
from fewer.compare.wording import MINUS, MISSING, NOTHING, TIMES, kept, number

_ASCII = str.maketrans({"↓": "v", "↑": "^", "±": "+-", "µ": "u", "·": "-", MINUS: "-", NOTHING: "-", TIMES: "x"})
_MARK = {"pass": "green", "warn": "yellow", "fail": "red"}
_LOOK = {"dense": "bold", "random": "dim", "method": ""}


def table(results: Results) -> RenderableType:
    """One block a budget: each arm's quality, differences to dense and random, costs and seeds.

    Columns that do not fit the console's width go into a further table under the first, so nothing is cut off.
    """
    # Differences of the secondary qualities are left to the report: here they would bury the primary one.
    shown = [i for i, c in enumerate(columns(results)) if not c.against or c.measure == results.primary]
    heads = [columns(results)[i] for i in shown]
    notes = ["Mean ±half width of the 95% interval over seeds; no ±: nothing varied. Differences are paired by seed."]
    found = blocks(results)
    if any(line.seeds == "fixed" for block in found for line in block.lines):
        notes.append("Seeds fixed: the arm does not depend on the seed and was measured once.")
    return Group(
        Text(results.title, style="bold"),
        _written(f"{results.name} · {results.data}", style="dim"),
        *(_Columns(block, heads, shown) for block in found),
        *(_written(note, style="dim") for note in notes),
    )


def card_table(card: Any) -> RenderableType:
    """The ten-lessons card: under each question one row an item, with verdict, value, interval and note.

    Args:
        card: what `fewer.compare.lessons.card` returns, or mappings with the same names.
    """
    found = items(card)
    arms = min(24, max((len(item["arm"]) for item in found), default=0))
    parts: list[RenderableType] = []
    for question, group in groupby(found, key=lambda item: str(item["question"] or "")):
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(width=5)
        grid.add_column(width=arms)
        grid.add_column(ratio=1, overflow="fold")
        grid.add_column(justify="right")
        for item in group:
            verdict = str(item["verdict"] or "n/a")
            said = Text(str(item["name"] or ""))
            if item["budget"] not in ("", "all"):
                said.append(f" at {item['budget']}")
            if item["note"]:
                said.append(f"\n{item['note']}", style="dim")
            grid.add_row(Text(verdict, style=_MARK.get(verdict, "dim")), item["arm"], said, _value(item))
        parts += [_written(question, style="bold"), _Plain(Padding(grid, (0, 0, 0, 2)))]
    return Group(*parts)


def _value(item: dict[str, Any]) -> Text:
    if item["kind"] == MISSING or item["value"] is None:
        return Text(MISSING, style="dim")
    shown = Text(amount(item))
    if limits := interval(item):
        shown.append(f"\n{limits}", style="dim")
    return shown


def amount(item: dict[str, Any]) -> str:
    """An item's value with its unit; words stay words."""
    value = item["value"]
    plain = isinstance(value, bool) or not isinstance(value, int | float)
    return f"{value if plain else number(value)} {item['unit'] or ''}".strip()


def interval(item: dict[str, Any]) -> str:
    """An item's interval as "[low, high]"; empty where it has none."""
    low, high = item["low"], item["high"]
    return "" if low is None or high is None or low != low or high != high else f"[{number(low)}, {number(high)}]"


@dataclass(frozen=True)
class _Plain:
    """A renderable whose signs become ASCII where the console can't write others."""

    inner: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        for segment in console.render(self.inner, options):
            words = segment.text.translate(_ASCII) if options.ascii_only else segment.text
            yield Segment(words, segment.style, segment.control)


def _written(words: str, style: str = "") -> _Plain:
    return _Plain(Text(words, style=style))


@dataclass(frozen=True)
class _Columns:
    """A block, laid out in as many tables as the console's width asks for."""

    block: Block
    heads: Sequence[Column]
    shown: Sequence[int]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        yield Text("")
        yield _Plain(Text(f"density {self.block.budget:g}: {kept(self.block.budget)}", style="bold cyan"))
        for picked in self._packed(options.max_width):
            yield _Plain(self._table(picked))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)

    def _packed(self, width: int) -> Iterable[list[int]]:
        """Positions in `heads`, split so that each table with its arm and seed columns fits."""
        arm = max([len("arm"), *(len(line.label) for line in self.block.lines)]) + 1
        seeds = max([len("seeds"), *(len(line.seeds) for line in self.block.lines)]) + 3
        rows: list[list[int]] = [[]]
        used = arm + seeds
        for at, (head, i) in enumerate(zip(self.heads, self.shown, strict=True)):
            wide = max([len(head.heading), *(len(line.figures[i].text) for line in self.block.lines)]) + 3
            if rows[-1] and used + wide > width:
                rows.append([])
                used = arm
            rows[-1].append(at)
            used += wide
        return rows

    def _table(self, picked: list[int]) -> Table:
        grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
        grid.add_column("arm", no_wrap=True)
        for at in picked:
            grid.add_column(self.heads[at].heading, justify="right", no_wrap=True)
        first = 0 in picked
        if first:
            grid.add_column("seeds", justify="right", no_wrap=True)
        for line in self.block.lines:
            cells = [_cell(line, line.figures[self.shown[at]]) for at in picked]
            grid.add_row(Text(line.label, style=_LOOK.get(line.kind, "")), *cells, *([line.seeds] if first else []))
        return grid


def _cell(line: Line, figure: Figure) -> Text:
    cell = Text(figure.mean, style="dim" if figure.mean == MISSING else _LOOK.get(line.kind, ""))
    return cell.append(f" {figure.spread}", style="dim") if figure.spread else cell
