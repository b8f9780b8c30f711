"""`fewer data` and `fewer models`: what there is by name, where it would come from, and how to get it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from fewer.data.entry import Entry
    from fewer.data.obtain import Found

__all__ = ["data_app", "models_app"]

Group = Literal["data", "models"]

data_app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Find, fetch and check data sets."
)
models_app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Find, fetch and check models."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to standard output.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names from `list`.", show_default=False)]
Folder = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Look into this folder first, in place of FEWER_DATA and FEWER_MODELS."),
]


@data_app.command("list")
def list_data(data: Folder = None, as_json: Json = False) -> None:
    """List the data sets: kind, size, licence, and where each would come from now."""
    print_list("data", data, as_json)


@models_app.command("list")
def list_models(data: Folder = None, as_json: Json = False) -> None:
    """List the models: kind, size, licence, and where each would come from now."""
    print_list("models", data, as_json)


@data_app.command("get")
def get_data(names: Names, data: Folder = None, as_json: Json = False) -> None:
    """Find or download data sets, check their sums, and say where they are."""
    get("data", names, data, as_json)


@models_app.command("get")
def get_models(names: Names, data: Folder = None, as_json: Json = False) -> None:
    """Find or download models, check their sums, and say where they are."""
    get("models", names, data, as_json)


def entries(group: Group) -> "dict[str, Entry]":
    """The table of that group."""
    from fewer.data.model_table import MODELS
    from fewer.data.sets import SETS

    return SETS if group == "data" else MODELS


def state(entry: "Entry", folder: Path | None) -> dict[str, Any]:
    """One row of `list`: what the entry is, whether it is here, and the source that would serve it now."""
    from fewer.data.obtain import on_this_machine
    from fewer.data.places import Places
    from fewer.errors import DataError

    places, problem = Places.find(folder), None
    try:
        found = on_this_machine(entry, places, [])
        source: str | None = found.source if found else next((s.kind for s in entry.sources), None)
    except DataError as error:
        found, source, problem = None, None, str(error)
    return {
        "name": entry.name,
        "kind": entry.kind,
        "about": entry.about,
        "licence": entry.licence,
        "bytes": entry.size,
        "source": source,
        "here": found is not None,
        "sources": ["folder", *(s.kind for s in entry.sources)] if entry.files else ["embedded"],
        "problem": problem,
    }


def print_list(group: Group, folder: Path | None, as_json: bool) -> None:
    """The table, or its JSON."""
    rows = [state(entry, folder) for entry in entries(group).values()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "kind", "size", "here", "from"):
        table.add_column(column, no_wrap=True, justify="right" if column == "size" else "left")
    table.add_column("licence", overflow="fold")
    for row in rows:
        here = "[green]yes[/]" if row["here"] else "[red]damaged[/]" if row["problem"] else "no"
        come = row["source"] or ("-" if row["problem"] else "your folder")
        table.add_row(f"[cyan]{row['name']}[/]", row["kind"], size(row["bytes"]), here, come, row["licence"])
    console = Console()
    console.print(table)
    for row in rows:
        if row["problem"]:
            console.print(f"{row['name']}: {row['problem']}", markup=False)
    console.print(
        f"\n{sum(r['here'] for r in rows)} of {len(rows)} are here. One more: fewer {group} get NAME", highlight=False
    )


def size(count: int) -> str:
    """Bytes for people; nothing for an embedded set."""
    if not count:
        return ""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def get(group: Group, names: list[str], folder: Path | None, as_json: bool) -> None:
    """Obtains every name; those that fail are reported at the end, with exit code 1."""
    from rich.console import Console
    from rich.progress import Progress

    from fewer.data import models
    from fewer.data.obtain import known, obtain
    from fewer.data.places import Places
    from fewer.errors import FewerError

    answers: list[dict[str, Any]] = []
    problems: list[str] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        table = entries(group)
        task = progress.add_task("", total=sum(table[name].size + 1 for name in names if name in table) or None)
        for name in names:
            progress.update(task, description=name)
            try:
                found = models.get(name, folder) if group == "models" else obtain(known(name), Places.find(folder))
            except FewerError as error:
                problems.append(str(error))
            else:
                answers.append(whereabouts(found))
                progress.advance(task, table[name].size + 1)
    if as_json:
        print(json.dumps(answers, indent=2))
    else:
        for answer in answers:
            print(f"{answer['name']}: {answer['source']}")
            for file in answer["files"]:
                print(f"  {file['path']}" + (f"\n    sha256 {file['sha256']}" if file["sha256"] else ""))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)


def whereabouts(found: "Found") -> dict[str, Any]:
    """Source, paths and checksums (of the unpacked content; None for a file of the hub)."""
    sums: list[str | None] = [file.sha256 for file in found.files] or [None] * len(found.paths)
    return {
        "name": found.name,
        "source": found.source,
        "files": [{"path": str(path), "sha256": total} for path, total in zip(found.paths, sums, strict=True)],
    }
