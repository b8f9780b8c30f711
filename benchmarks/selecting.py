"""Selections of a 4096 x 4096 float32 matrix beside what a user would write with torch."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from fewer.core import Density, select
from fewer.measure.bandwidth import limit_share
from fewer.measure.benchmark import Benchmark, Point, pair
from fewer.measure.latency import Rotation

SIDE = 4096


def topk_mask(scores: torch.Tensor, count: int) -> torch.Tensor:
    """The usual idiom: torch.topk over the last axis, then a scatter into a mask."""
    kept = torch.topk(scores, count, dim=-1, sorted=False).indices
    return torch.zeros(scores.shape, dtype=torch.bool).scatter_(-1, kept, True)


def sort_mask(scores: torch.Tensor, count: int) -> torch.Tensor:
    """By threshold: torch.sort over the last axis, then a comparison; ties keep too many."""
    return scores >= scores.sort(dim=-1, descending=True).values[..., count - 1 : count]


def run() -> Iterator[Point]:
    """N:M and rows, each beside torch.topk and torch.sort; quality is the share of units with exactly the right count."""
    scores = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    cold = Rotation(scores, scores.numel() * scores.element_size())
    for pattern, width, count in (("2:4", 4, 2), ("4:8", 8, 4), ("row", SIDE, SIDE // 2)):
        for peer_name, peer in (("torch.topk + scatter", topk_mask), ("torch.sort + compare", sort_mask)):
            yield _point(pattern, cold, width, count, peer_name, peer)


def _point(pattern: str, cold: Rotation, width: int, count: int, peer_name: str, peer: Callable[..., torch.Tensor]) -> Point:
    def ours() -> torch.Tensor:
        return select(next(cold), pattern, Density(0.5)).mask

    def theirs() -> torch.Tensor:
        return peer(next(cold).view(-1, width), count)

    def exact(mask: torch.Tensor) -> float:
        return float((mask.view(-1, width).sum(-1) == count).float().mean())

    point = pair(
        "select",
        f"{pattern}, {SIDE}x{SIDE}",
        ours,
        theirs,
        peer_name,
        repeats=9,
        quality_ours=exact(ours()),
        quality_peer=exact(theirs()),
        limit="memory bandwidth",
    )
    # Every score must be read once, and every byte of the mask written.
    return replace(point, limit_share=limit_share(point.ours, bytes_moved=SIDE * SIDE * 5))


BENCHMARKS = [Benchmark("select", "N:M and row selection of 4096 x 4096 cold scores against torch.topk and torch.sort", run)]
