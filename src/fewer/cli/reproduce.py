"""`fewer reproduce`: papers' claims, run and judged."""

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewer.cli.options import Data, Json, use_data

if TYPE_CHECKING:
    from fewer.claims.claim import Reproduction


def reproduce(
    slugs: Annotated[list[str] | None, typer.Argument(help="Systems, as `fewer list` names them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every claim that runs.")] = False,
    scale: Annotated[str, typer.Option(help="smoke (seconds), small (minutes), paper (a GPU).")] = "small",
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds.  [default: the claim's own]")] = None,
    seed_start: Annotated[
        int, typer.Option(min=0, help="The first seed; others than the claim's own make a fresh sample.")
    ] = 0,
    out: Annotated[
        Path, typer.Option(help="Where cells and reports are kept; a run that was cut off goes on from there.")
    ] = Path("runs/claims"),
    data: Data = None,
    json: Json = False,
) -> None:
    """Check what papers claim: confirmed, refuted or inconclusive, by a rule that was fixed before the run.

    Exit code 0 when all of them ran, whatever the verdicts; 1 when one could not run.
    """
    use_data(data)

    from fewer.claims import load
    from fewer.claims import slugs as known

    wanted = list(known()) if everything else list(slugs or [])
    if not wanted:
        raise typer.BadParameter(f"name a system, or --all. Those that run: {', '.join(known())}.")
    claims = [load(slug) for slug in wanted]
    for claim in claims:
        claim.setting(scale)
    finished: list[Reproduction] = []
    failed = False
    for claim in claims:
        try:
            finished.append(_run(claim, scale, seeds, seed_start, out))
        except Exception as error:
            from fewer.errors import FewerError

            if not isinstance(error, FewerError) or not everything:
                raise
            failed = True
            print(f"error: {claim.system} could not run: {error}", file=sys.stderr)
            continue
        if not json:
            _show(finished[-1])
    if json:
        print(json_module.dumps([r.to_dict() for r in finished], allow_nan=False))
    if failed:
        raise typer.Exit(1)


def _run(claim, scale, seeds, seed_start, out) -> "Reproduction":
    from fewer.claims.claim import reproduce as run
    from fewer.cli.progress import cell_progress
    from fewer.compare.html import write
    from fewer.compare.lessons import card

    folder = out / claim.system / scale
    with cell_progress(claim.system) as progress:
        done = run(claim, scale, seeds, seed_start, folder, progress)
    done.results.save(folder)
    write(folder / "report.html", done.results, card(done.results), [done])
    return done


def _show(done: "Reproduction") -> None:
    from rich.console import Console

    console = Console()
    colour = {"confirmed": "green", "refuted": "red", "inconclusive": "yellow"}[done.judgement.verdict]
    done.results.show()
    console.print(f"\n[bold]{done.claim.system}[/bold]: {done.claim.says}")
    console.print(f"[{colour} bold]{done.judgement.verdict}[/]  (rule: {done.rule})", highlight=False)
    console.print(f"Paper: {done.claim.paper}", highlight=False)
    console.print(f"Data: {done.results.data}", highlight=False)
    for line in done.judgement.text.split("\n"):
        console.print(f"  {line}", highlight=False)
    console.print(f"{done.seconds:.0f} s\n", highlight=False)
