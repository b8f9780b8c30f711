"""`fewer compare` and `fewer report`."""

from pathlib import Path
from typing import Annotated

import typer

from fewer.cli.options import Data, Json, densities, use_data


def compare(
    methods: Annotated[
        list[str], typer.Argument(help="Methods, such as wanda sparsegpt. Dense and random come by themselves.")
    ],
    task: Annotated[
        str,
        typer.Option(
            help="What to compare on: smollm2-perplexity, tiny-perplexity, digits, images, images-vit, digits-convergence."
        ),
    ] = "smollm2-perplexity",
    budgets: Annotated[str | None, typer.Option(help="Densities (shares kept), as 0.5,0.4.  [default: 0.5,0.4,0.3]")] = None,
    sparsities: Annotated[str | None, typer.Option(help="Or the shares dropped, as 0.5,0.6.")] = None,
    pattern: Annotated[
        str | None, typer.Option(help='For every arm, as row, layer, 2:4, block:16x16.  [default: "row"]')
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds; fewer than 3 give no intervals worth having.")] = 3,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The first seed.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for cells, results.json and report.html.  [default: runs/NAME]")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Run methods beside the dense model and the random baselines; cut off, it goes on where it was."""
    use_data(data)
    wanted = densities(budgets, sparsities) if budgets or sparsities else [0.5, 0.4, 0.3]

    from fewer.cli.progress import cell_progress
    from fewer.comparing import comparison

    planned = comparison(methods, task, wanted, range(seed, seed + seeds), pattern)
    folder = out or Path("runs") / f"{planned.name}-{task}"
    with cell_progress(planned.name) as progress:
        results = planned.run(folder, progress)
    results.save(folder)
    page = results.html(folder / "report.html")
    if json:
        print(results.to_json())
        return
    results.show()
    typer.echo(f"\nReport: {page}", err=True)


def report(
    folder: Annotated[Path, typer.Argument(help="Folder (or results.json) that `fewer compare` or `fewer` wrote.")],
    html: Annotated[
        Path | None, typer.Option(help="Where to write the page.  [default: report.html beside the results]")
    ] = None,
    json: Json = False,
) -> None:
    """Show finished results again, with the ten-lessons card, and write the page anew."""
    from rich.console import Console

    from fewer.compare.lessons import card
    from fewer.compare.result import Results
    from fewer.compare.terminal import card_table

    results = Results.load(folder)
    page = results.html(html or (folder if folder.is_dir() else folder.parent) / "report.html")
    if json:
        print(results.to_json())
        return
    results.show()
    Console().print(card_table(card(results)))
    typer.echo(f"\nReport: {page}", err=True)
