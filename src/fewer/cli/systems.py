"""`fewer list` and `fewer show`: the catalog on the terminal."""

import json
from dataclasses import asdict, fields
from typing import Annotated, Any

import typer

from fewer.catalog import System, system, systems

__all__ = ["list_systems", "show"]

LISTED = ("slug", "domain", "title", "paper", "score", "select", "apply", "schedule", "status")
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to standard output.")]


def list_systems(
    domain: Annotated[str | None, typer.Option(help="Only the systems of this domain.")] = None,
    as_json: Json = False,
) -> None:
    """Name the 37 systems: what each gives you, and whether this version has it."""
    chosen = [entry for entry in systems() if domain in (None, entry.domain)]
    if not chosen:
        domains = dict.fromkeys(entry.domain for entry in systems())
        raise typer.BadParameter(f"{domain!r} is none of {', '.join(domains)}.", param_hint="--domain")
    if as_json:
        print(json.dumps([{name: getattr(entry, name) for name in LISTED} for entry in chosen], indent=2))
    else:
        print_table(chosen)


def print_table(chosen: list[System]) -> None:
    """A table in sections, one for each domain."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("system", style="cyan", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("what it gives you")
    domain = None
    for entry in chosen:
        if entry.domain != domain:
            domain = entry.domain
            if table.rows:
                table.add_row()
            table.add_row(f"[bold not cyan]{domain}")
        status = f"[green]{entry.status}" if entry.status == "ready" else f"[dim]{entry.status}"
        table.add_row(f"  {entry.slug}", status, entry.summary)
    console = Console()
    console.print(table)
    ready = sum(entry.status == "ready" for entry in chosen)
    console.print(f"\n{len(chosen)} systems, {ready} ready. More about one: fewer show {chosen[0].slug}", highlight=False)


def show(
    slug: Annotated[str, typer.Argument(help="A name from `fewer list`.")],
    as_json: Json = False,
) -> None:
    """Say everything about one system, and how to check its claim."""
    entry = system(slug)
    check = f"fewer reproduce {slug} --scale smoke" if entry.status == "ready" else None
    if as_json:
        print(json.dumps({**asdict(entry), "status": entry.status, "check": check}, indent=2))
    else:
        print_entry(entry, check)


def print_entry(entry: System, check: str | None) -> None:
    """Every field with its name, wrapped to the terminal."""
    from rich.console import Console
    from rich.table import Table

    rows: dict[str, Any] = {field.name: getattr(entry, field.name) for field in fields(entry)}
    rows["paper"] = f"arXiv {entry.paper}"
    rows["status"] = entry.status
    rows["check"] = check or "not yet in this version"
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, str(value))
    Console(markup=False, highlight=False).print(table)
