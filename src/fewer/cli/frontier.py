"""`fewer attention frontier`: ways of choosing keys beside each other, over models, lengths, tasks and densities."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewer.cli.options import Data, Json, densities, use_data

if TYPE_CHECKING:
    from fewer.compare.result import Results


def frontier(
    study: Annotated[
        str,
        typer.Option(
            help="bytes: small networks trained here. smollm2: SmolLM2-135M at 1,024 tokens. paper: Qwen2.5 7B to 72B, on GPUs."
        ),
    ] = "bytes",
    models: Annotated[str | None, typer.Option(help="In place of the study's: names, folders, hub ids, or bytes-64.")] = None,
    lengths: Annotated[str | None, typer.Option(help="Tokens of a sample, as 1024,2048.")] = None,
    tasks: Annotated[str | None, typer.Option(help="retrieval,tracking,frequent,text; echo,plain for bytes-N.")] = None,
    arms: Annotated[str | None, typer.Option(help="Methods, twins and oracles, as vertical-slash,block,random,quest.")] = None,
    budgets: Annotated[str | None, typer.Option(help="Densities (shares kept), as 0.5,0.25.")] = None,
    sparsities: Annotated[str | None, typer.Option(help="Or the shares dropped, as 0.5,0.75.")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Samples of each task for each seed.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds; tests pool the samples of all.")] = None,
    text: Annotated[str | None, typer.Option(help="Text set that samples are made of, as `fewer data list` names it.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or bfloat16.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    level: Annotated[float, typer.Option(min=0, max=1, help="Of the tests behind the highest tolerable sparsity.")] = 0.05,
    margin: Annotated[float, typer.Option(min=0, help="Nats that may be lost before a method counts as worse.")] = 0.0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for cells and reports; cut off, a run goes on.  [default: runs/frontier]")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Sparse attention in prefilling and in decoding at equal density: quality, tolerable sparsity, and quality for FLOPs."""
    use_data(data)
    from dataclasses import replace

    from fewer.attention.frontier.isoflop import isoflop
    from fewer.attention.frontier.study import STUDIES
    from fewer.attention.frontier.tolerable import tolerable
    from fewer.cli.progress import cell_progress

    if study not in STUDIES:
        raise typer.BadParameter(f'no study is called "{study}"; allowed: {", ".join(STUDIES)}.')
    if dtype not in (None, "float32", "bfloat16"):
        raise typer.BadParameter(f'--dtype is "{dtype}"; allowed: float32, bfloat16.')
    given: dict[str, Any] = {
        "models": _names(models),
        "lengths": _numbers(lengths),
        "tasks": _names(tasks),
        "arms": _names(arms),
        "budgets": tuple(densities(budgets, sparsities)) if budgets or sparsities else None,
        "samples": samples,
        "seeds": seeds,
        "text_set": text,
        "dtype": dtype,
        "device": device,
    }
    planned = replace(STUDIES[study], **{name: value for name, value in given.items() if value is not None})
    folder = out or Path("runs") / "frontier"
    found = []
    for comparison in planned.comparisons():
        with cell_progress(comparison.name) as progress:
            results = comparison.run(folder / comparison.name, progress)
        results.save(folder / comparison.name)
        results.html(folder / comparison.name / "report.html")
        found.append(results)
    borne = [(r, tolerable(r, m, level, margin if m.startswith("nll") else 0.0)) for r in found for m in r.quality]
    spent = {measure: isoflop(found, measure, _oracles()) for measure in found[0].quality}
    if json:
        print(
            json_module.dumps(
                {
                    "results": [json_module.loads(r.to_json()) for r in found],
                    "tolerable": [{"comparison": r.name, **t._asdict()} for r, ts in borne for t in ts],
                    "isoflop": {measure: [s._asdict() for s in points] for measure, points in spent.items()},
                }
            )
        )
        return
    for results in found:
        _show(results, {(t.arm, t.measure): t for r, ts in borne if r is results for t in ts})
    _show_spent(spent)
    typer.echo(f"\nReports: {folder}/*/report.html", err=True)


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else None


def _numbers(text: str | None) -> tuple[int, ...] | None:
    try:
        return tuple(int(part) for part in _names(text) or ()) or None
    except ValueError:
        raise typer.BadParameter(f'"{text}" is no list of lengths such as 1024,2048.') from None


def _oracles() -> tuple[str, ...]:
    from fewer.attention.frontier.arms import ORACLES

    return ORACLES


def _show(results: "Results", borne: dict[tuple[str, str], Any]) -> None:
    """One row an arm and budget: phase, density asked for and reached, quality of each task; then what each arm tolerates."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{results.title}\n{results.data}", title_justify="left")
    for heading in ("arm", "phase", "density", "reached", "GFLOPs", *results.quality):
        table.add_column(heading, justify="left" if heading in ("arm", "phase") else "right")
    for arm, facts in results.arms.items():
        for budget in [1.0] if facts.kind == "dense" else results.budgets:
            row = results.of(arm, budget)[0]
            means = [results.summary(arm, budget, name).mean for name in ("density", "flops", *results.quality)]
            phase = "both" if facts.kind == "dense" else row.detail["phase"]
            quality = [f"{value:.3f}" for value in means[2:]]
            table.add_row(arm, phase, f"{budget:g}", f"{means[0]:.3f}", f"{means[1] / 1e9:.4g}", *quality)
    console.print(table)
    table = Table(title="Highest tolerable sparsity (one-sided, paired, Holm); ? = too few samples to reject anything")
    for heading in ("arm", *results.quality):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for arm in dict.fromkeys(arm for arm, _ in borne):
        values = [borne[arm, measure].sparsity for measure in results.quality]
        table.add_row(arm, *("?" if value is None else f"{value:.2f}" for value in values))
    console.print(table)


def _show_spent(spent: dict[str, list[Any]]) -> None:
    """The front of quality and FLOPs of all models."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="No other arm of any model is better and cheaper (oracles left out)", title_justify="left")
    for heading in ("measure", "tokens", "model", "arm", "density", "GFLOPs", "quality"):
        table.add_column(heading)
    for measure, points in spent.items():
        for point in points:
            if point.front:
                numbers = (f"{point.density:.3f}", f"{point.flops / 1e9:.4g}", f"{point.quality:.3f}")
                table.add_row(measure, str(point.length), point.model, point.arm, *numbers)
    Console().print(table)
