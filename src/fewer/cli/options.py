"""Options that several commands share, and how their text becomes values."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of noise and of drawn calibration data.")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of data sets to look into first (else FEWER_DATA).", file_okay=False)
]


def use_data(folder: Path | None) -> None:
    """Make `--data` what every loader of this process looks into."""
    import os

    if folder is not None:
        os.environ["FEWER_DATA"] = str(folder)


def densities(budgets: str | None, sparsities: str | None) -> list[float]:
    """The densities that `--budgets` (shares kept) or `--sparsities` (shares dropped) name; sparsity is converted here, once.

    Raises typer.BadParameter for anything but numbers in [0, 1].
    """
    if budgets and sparsities:
        raise typer.BadParameter("give --budgets (shares kept) or --sparsities (shares dropped), not both.")
    text = budgets or sparsities or ""
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter(f'"{text}" is no list of numbers such as 0.5,0.4,0.3.') from None
    if not values or any(not 0 <= v <= 1 for v in values):
        raise typer.BadParameter(f'"{text}" must be numbers in [0, 1], such as 0.5,0.4,0.3.')
    return values if budgets else [round(1 - v, 12) for v in values]
