"""The published systems that fewer is about: what each one does, and whether this package has it yet."""

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Literal

__all__ = ["System", "system", "systems"]


@dataclass(frozen=True)
class System:
    """One published system, and how it maps onto score, select, apply and schedule."""

    slug: str
    """Name in this library, such as `dsnot`."""
    domain: str
    """Room that it lives in: a sub-package of fewer."""
    title: str
    """Title of the paper."""
    paper: str
    """arXiv identifier, such as `2310.08915`."""
    year: int
    """Year of the paper's first version."""
    score: str
    """How much does each candidate matter?"""
    select: str
    """Which set is allowed, and how many?"""
    apply: str
    """What happens to the chosen and to the rest?"""
    schedule: str
    """How does the budget move?"""
    summary: str
    """What it gives a user, in one sentence."""

    @property
    def status(self) -> Literal["ready", "planned"]:
        """`ready` when the package holds its claim, which `fewer reproduce` runs."""
        claim = files("fewer") / "claims" / f"{self.slug.replace('-', '_')}.py"
        return "ready" if claim.is_file() else "planned"


@cache
def systems() -> tuple[System, ...]:
    """All systems, grouped by domain."""
    table = tomllib.loads((files("fewer") / "catalog" / "systems.toml").read_text(encoding="utf-8"))
    return tuple(System(slug=slug, **fields) for slug, fields in table.items())


def system(slug: str) -> System:
    """The system of that name; MethodError, with the nearest names, when there is none."""
    known = {entry.slug: entry for entry in systems()}
    if slug in known:
        return known[slug]
    from fewer.errors import MethodError  # here, since fewer.core brings torch

    near = get_close_matches(slug.lower(), known)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise MethodError(f"there is no system {slug!r}. {hint}`fewer list` names all {len(known)}.")
