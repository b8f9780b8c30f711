"""What `fewer` does without a command: prune a real language model five ways, beside the dense one, and report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fewer.compare.comparison import Comparison

MODEL = "smollm2-135m"
BUDGETS = (0.5, 0.4, 0.3)


def main_job() -> None:
    """Prune SmolLM2-135M to 50, 60 and 70% sparsity by random, magnitude, Wanda and SparseGPT; print and write the report.

    Takes about nine minutes on two cores. What is finished is kept in runs/first, and a run that is cut off goes on from
    there. Where the model cannot be had, a small language model that is trained here takes its place.
    """
    from rich.console import Console

    from fewer.cli.progress import cell_progress
    from fewer.compare.lessons import Card, card
    from fewer.compare.terminal import card_table

    planned, folder = plan()
    print(f"Data: {planned.task.data}", file=sys.stderr)
    with cell_progress("pruning") as progress:
        results = planned.run(folder, progress)
    results.save(folder)
    page = results.html(folder / "report.html")
    results.show()
    mildest = max(results.budgets)
    warned = Card(tuple(i for i in card(results).items if i.verdict in ("warn", "fail") and i.budget == mildest))
    console = Console()
    console.print(f"\nWhat the ten lessons warn of at density {mildest:g} (the whole card is in the report):")
    console.print(card_table(warned))
    print(f"\nReport: {page.resolve().as_uri()}", file=sys.stderr)
    print("Next: fewer list, fewer prune --help, fewer reproduce one-shot-pruning", file=sys.stderr)


def plan() -> "tuple[Comparison, Path]":
    """The comparison on the real model, or the embedded one, and where it is kept."""
    from fewer.claims.one_shot_pruning import arms, smollm2, tiny
    from fewer.compare.comparison import Comparison
    from fewer.data.models import get
    from fewer.errors import FewerError

    print(f"Getting {MODEL} (98 MB the first time) ...", file=sys.stderr)
    try:
        get(MODEL)
        task, folder = smollm2(), Path("runs/first")
    except (FewerError, OSError) as error:
        print(f"{MODEL} cannot be had ({error})", file=sys.stderr)
        print("Running the embedded task instead: a small language model, trained here in about a minute.", file=sys.stderr)
        task, folder = tiny(), Path("runs/first-embedded")
    comparison = Comparison(
        name="first",
        title="What 50 to 70% sparsity costs and buys",
        task=task,
        arms=arms(),
        budgets=BUDGETS,
        seeds=range(3),
        twins={"random:sparsegpt": "sparsegpt"},
    )
    return comparison, folder
