"""`fewer bench`: ours beside its peers, in this process, interleaved."""

import importlib
import json as json_module
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from fewer.cli.options import Data, Json, use_data

if TYPE_CHECKING:
    from fewer.measure.benchmark import Benchmark


PACKAGE = "fewer_benchmarks"


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks, as --list names them.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="Name the benchmarks and leave.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every benchmark.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Time what is hot beside the library call a user would make instead; ratio = peer / ours, above 1 we are faster."""
    use_data(data)
    known = find()
    if listing:
        if json:
            print(json_module.dumps([{"name": b.name, "about": b.about} for b in known.values()]))
        else:
            for benchmark in known.values():
                print(f"{benchmark.name:<16} {benchmark.about}")
        return
    wanted = list(known) if everything else list(names or [])
    if not wanted:
        raise typer.BadParameter(f"name a benchmark, or --all or --list. There are: {', '.join(known)}.")
    for name in wanted:
        if name not in known:
            from fewer.core.registry import nearest
            from fewer.errors import MethodError

            raise MethodError(f'benchmark "{name}" is unknown{nearest(name, known)}; there are: {", ".join(known)}.')
    points = []
    for name in wanted:
        for point in known[name].run():
            points.append(point)
            print(f"{name}: {point.at}", file=sys.stderr, flush=True)
    if json:
        print(json_module.dumps([point.to_dict() for point in points], allow_nan=False))
    else:
        _show(points)


def find() -> "dict[str, Benchmark]":
    """All benchmarks by name: each file of the checkout's `benchmarks/` (or the wheel's copy) has a list BENCHMARKS.

    The folder is imported as the package `fewer_benchmarks`, so that its files can import from its `peers`.
    """
    from fewer.errors import MethodError

    package = Path(__file__).resolve().parents[1]
    folder = next((f for f in (package / "benchmarks", package.parents[1] / "benchmarks") if f.is_dir()), None)
    if folder is None:
        raise MethodError("this installation has no benchmarks; run `fewer bench` from a checkout of the sources.")
    if PACKAGE not in sys.modules:
        sys.modules[PACKAGE] = ModuleType(PACKAGE)
        sys.modules[PACKAGE].__path__ = [str(folder)]
    found = {}
    for path in sorted(folder.glob("*.py")):
        module = importlib.import_module(f"{PACKAGE}.{path.stem}")
        found.update({benchmark.name: benchmark for benchmark in module.BENCHMARKS})
    return found


def _show(points) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("benchmark", "at", "ours", "peer", "peer is", "ratio [95%]", "limit")
    for p in points:
        limit = "" if p.limit_share is None else f"{p.limit_share:.0%} of {p.limit}"
        table.add_row(
            p.name,
            p.at,
            f"{p.ours:.4g}",
            f"{p.peer:.4g}",
            p.peer_name,
            f"{p.ratio:.2f} [{p.ratio_low:.2f}, {p.ratio_high:.2f}]",
            limit,
        )
    Console().print(table)
