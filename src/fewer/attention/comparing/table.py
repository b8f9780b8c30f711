"""A comparison on the terminal."""

from rich.table import Table
from torch import Tensor

from fewer.attention.comparing.kept import Compared, Row

STAGES = {"prefill": "prompts", "decode": "decoding"}
HEADINGS = ("kept", "twin", "recall", "twin", "worst layer", "worst head", "error", "twin")


def table(compared: Compared) -> Table:
    """A line for each method: what it keeps, the weight this holds, where it holds least, and its random twin beside it."""
    note = "twin: the random twin, with as many keys, columns, diagonals or blocks"
    found = Table(
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
        caption=note,
        caption_style="dim",
        caption_justify="left",
    )
    found.add_column("method", no_wrap=True, style="cyan")
    for heading in HEADINGS:
        found.add_column(heading, justify="right")
    for stage, rows in by_stage(compared).items():
        if found.rows:
            found.add_row()
        found.add_row(f"[bold not cyan]in {stage}")
        for row in rows:
            found.add_row(f" {row.name}", *cells(compared, row))
    return found


def by_stage(compared: Compared) -> dict[str, list[Row]]:
    """Methods of prompts and of decoding; a stage without any is left out."""
    found = {said: [row for row in compared.rows if row.method.stage == stage] for stage, said in STAGES.items()}
    return {said: rows for said, rows in found.items() if rows}


def cells(compared: Compared, row: Row) -> list[str]:
    """One for each of `HEADINGS`; the worst layer and head are named behind a colon."""
    by_layer = row.own.recall.mean(1)
    layer, (at, head) = int(by_layer.argmin()), divmod(int(row.own.recall.argmin()), compared.heads)
    return [
        _mean(row.own.density),
        _mean(row.twin.density),
        _mean(row.own.recall),
        _mean(row.twin.recall),
        f"{compared.layers[layer]}: {_mean(by_layer[layer])}",
        f"{compared.layers[at]}.{head}: {_mean(row.own.recall[at, head])}",
        _mean(row.own.error),
        _mean(row.twin.error),
    ]


def _mean(values: Tensor) -> str:
    return f"{float(values.mean()):.3f}"
