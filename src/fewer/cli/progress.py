"""Progress on standard error: cells done, the one that runs, time left."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fewer.compare.comparison import Cell, Progress


@contextmanager
def cell_progress(title: str) -> Iterator[Progress]:
    """A progress callback for `Comparison.run`; a bar on a terminal, a line a cell elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    if not sys.stderr.isatty():
        yield _line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), speed_estimate_period=600) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int, cell: Cell) -> None:
            bar.update(task, completed=done, total=total, description=f"{title}: {_said(cell)}")

        yield show
        bar.update(task, completed=bar.tasks[0].total or 1, total=bar.tasks[0].total or 1, description=title)


def _line(done: int, total: int, cell: Cell) -> None:
    print(f"[{done + 1}/{total}] {_said(cell)}", file=sys.stderr, flush=True)


def _said(cell: Cell) -> str:
    return f"{cell.arm} at density {cell.budget:g}, seed {cell.seed}"
