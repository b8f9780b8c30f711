"""What the layers of each arm came to: densities, output errors and score histograms, from the first seed."""

from itertools import takewhile
from typing import Any

from fewer.compare.result import Results

BINS = 32
"""Bars of a histogram in the report; finer ones are merged so that hundreds of layers fit into the file."""


def layers(results: Results) -> dict[str, Any] | None:
    """By budget and arm, one value a layer; None when no row has layers.

    Returns:
        names: full layer names, in order of appearance.
        short: the names without what all of them share.
        density, error: budget -> arm -> one number or None a layer.
        histograms: budget -> arm -> one [edges, kept, dropped] or None a layer.
    """
    found: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for budget in results.budgets:
        for arm, facts in results.arms.items():
            rows = sorted(results.of(arm, budget), key=lambda row: row.seed)
            seen = next((row.detail["layers"] for row in rows if row.detail.get("layers")), None)
            if seen and facts.kind != "dense":
                found.setdefault(f"{budget:g}", {})[arm] = {layer["name"]: layer for layer in seen}
    names = list(dict.fromkeys(name for arms in found.values() for seen in arms.values() for name in seen))
    if not names:
        return None
    columns: dict[str, Any] = {"names": names, "short": shorter(names)}
    for key in ("density", "error", "histogram"):
        by_budget = {
            budget: {
                arm: [_entry(seen.get(name, {}).get(key)) for name in names]
                for arm, seen in arms.items()
                if any(layer.get(key) is not None for layer in seen.values())
            }
            for budget, arms in found.items()
        }
        columns[key] = {budget: arms for budget, arms in by_budget.items() if arms}
    return columns


def shorter(names: list[str]) -> list[str]:
    """Names without the dotted words with which all of them begin or end."""
    if len(names) < 2:
        return names
    split = [name.split(".") for name in names]
    begin = _shared([words[:-1] for words in split])
    end = _shared([words[:0:-1] for words in split])
    return [".".join(words[begin : len(words) - end] or words) for words in split]


def _shared(lists: list[list[str]]) -> int:
    """With how many equal words all lists begin."""
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*lists, strict=False)))


def _entry(value: Any) -> Any:
    return merged(value) if isinstance(value, dict) else _rounded(value) if isinstance(value, float) else value


def merged(histogram: dict[str, list[float]]) -> list[list[float]]:
    """[edges, kept, dropped] with at most BINS bars, neighbours added together."""
    edges, kept, dropped = histogram["edges"], histogram["kept"], histogram["dropped"]
    step = -(-len(kept) // BINS) or 1
    starts = range(0, len(kept), step)
    return [
        [_rounded(edges[i]) for i in (*starts, len(kept))],
        [sum(kept[i : i + step]) for i in starts],
        [sum(dropped[i : i + step]) for i in starts],
    ]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
