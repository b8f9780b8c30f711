"""A comparison on the terminal."""

from rich.table import Table
from torch import Tensor

from fewer.attention.comparing.kept import Compared, Row

STAGES = {"prefill": "prompts", "decode": "decoding"}


def table(compared: Compared) -> Table:
    """A line for each method: what it keeps, the weight this holds, where it holds least, and its random twin beside it."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("method", "in"):
        found.add_column(heading, no_wrap=True)
    for heading in ("density", "recall", "random", "worst layer", "worst head", "error", "random"):
        found.add_column(heading, justify="right")
    for row in compared.rows:
        found.add_row(*_cells(compared, row))
    return found


def _cells(compared: Compared, row: Row) -> list[str]:
    by_layer = row.own.recall.mean(1)
    layer, head = int(by_layer.argmin()), int(row.own.recall.argmin())
    worst = divmod(head, compared.heads)
    return [
        row.name,
        STAGES[row.method.stage],
        _mean(row.own.density),
        _mean(row.own.recall),
        _mean(row.twin.recall),
        f"{float(by_layer[layer]):.3f} ({compared.layers[layer]})",
        f"{float(row.own.recall.flatten()[head]):.3f} ({compared.layers[worst[0]]}.{worst[1]})",
        _mean(row.own.error),
        _mean(row.twin.error),
    ]


def _mean(values: Tensor) -> str:
    return f"{float(values.mean()):.3f}"
