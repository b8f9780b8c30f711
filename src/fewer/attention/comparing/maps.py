"""Maps of the attention matrix of single heads, coarse enough to look at."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.comparing.calls import Call
from fewer.attention.method import Stage

SIDE = 96
"""Rows and columns of a map; fewer where there are fewer queries or keys."""


class Map(NamedTuple):
    """One head: where dense attention's weight lies, and what each method keeps of it. Rows are queries, columns keys."""

    layer: int
    head: int
    mass: dict[Stage, Float[Tensor, "rows columns"]]
    """Share of a query's weight in the cell, mean over its queries; NaN where there are no cells of attention."""
    kept: dict[str, Float[Tensor, "rows columns"]]
    """Share of the cell's keys that are kept, by method."""


def maps(layer: int, heads: Sequence[int], calls: Mapping[str, Sequence[Call]], stages: Mapping[str, Stage]) -> list[Map]:
    """Maps of some heads of a layer, from the calls of every method."""
    first = {stage: calls[name] for name, stage in reversed(list(stages.items()))}  # all of a stage have the same inputs
    return [
        Map(
            layer,
            head,
            {stage: mass_map(found, head) for stage, found in first.items()},
            {name: kept_map(found, head) for name, found in calls.items()},
        )
        for head in heads
    ]


def mass_map(calls: Sequence[Call], head: int) -> Float[Tensor, "rows columns"]:
    """Where the weight lies."""

    def weights(call: Call, start: int, stop: int) -> Tensor:
        return call.inputs.logits(start, stop)[0, head].softmax(-1)

    sums, cells = _grid(calls, weights), _grid(calls, _allowed)
    rows = _bins(sum(call.inputs.queries for call in calls))
    return (sums / torch.bincount(rows)[:, None]).where(cells > 0, torch.nan)


def kept_map(calls: Sequence[Call], head: int) -> Float[Tensor, "rows columns"]:
    """Which share of the keys is kept."""
    kept = _grid(calls, lambda call, start, stop: call.keys.mask(call.inputs, start, stop)[0, head].float())
    return kept / _grid(calls, _allowed)


def _allowed(call: Call, start: int, stop: int) -> Float[Tensor, "rows keys"]:
    return call.inputs.allowed(start, stop).float()


def _grid(calls: Sequence[Call], values: Callable[[Call, int, int], Tensor]) -> Float[Tensor, "rows columns"]:
    """Sums of values [rows, keys] in the cells of a map, the queries of all calls under one another."""
    rows, columns = _bins(sum(call.inputs.queries for call in calls)), _bins(max(call.inputs.keys for call in calls))
    found = torch.zeros(int(rows[-1]) + 1, int(columns[-1]) + 1)
    for at, (call, start, stop) in _pieces(calls):
        piece = values(call, start, stop).cpu()
        narrow = torch.zeros(len(piece), found.shape[1]).index_add_(1, columns[: piece.shape[1]], piece)
        found.index_add_(0, rows[at : at + len(piece)], narrow)
    return found


def _pieces(calls: Sequence[Call]) -> Iterator[tuple[int, tuple[Call, int, int]]]:
    """(row of the map's matrix, (call, first query, one past the last)), some queries at a time."""
    before = 0
    for call in calls:
        for start in range(0, call.inputs.queries, SIDE):
            yield before + start, (call, start, min(start + SIDE, call.inputs.queries))
        before += call.inputs.queries


def _bins(count: int) -> Int[Tensor, " count"]:
    """The row or column of the map that each of so many belongs to."""
    return torch.arange(count) * min(count, SIDE) // count
