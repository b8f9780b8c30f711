"""Selections of a 4096 x 4096 float32 matrix beside what a user would write with torch."""

from collections.abc import Callable, Iterator

import torch

from fewer.core import Density, select
from fewer.measure.bandwidth import limit_share
from fewer.measure.benchmark import Benchmark, Point, pair

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
    moved = scores.numel() * (4 + 1)  # every score must be read once and every mask byte written
    for pattern, groups, count in (("2:4", scores.view(-1, 4), 2), ("4:8", scores.view(-1, 8), 4), ("row", scores, SIDE // 2)):
        for peer_name, peer in (("torch.topk + scatter", topk_mask), ("torch.sort + compare", sort_mask)):
            yield _point(pattern, scores, groups, count, peer_name, peer, moved)


def _point(
    pattern: str,
    scores: torch.Tensor,
    groups: torch.Tensor,
    count: int,
    peer_name: str,
    peer: Callable[[torch.Tensor, int], torch.Tensor],
    moved: int,
) -> Point:
    def ours() -> torch.Tensor:
        return select(scores, pattern, Density(0.5)).mask

    def exact(mask: torch.Tensor) -> float:
        return float((mask.view(groups.shape).sum(-1) == count).float().mean())

    point = pair(
        "select",
        f"{pattern}, {SIDE}x{SIDE}",
        ours,
        lambda: peer(groups, count),
        peer_name,
        repeats=9,
        quality_ours=exact(ours()),
        quality_peer=exact(peer(groups, count)),
        limit="memory bandwidth",
    )
    return Point(**{**point.to_dict(), "limit_share": limit_share(point.ours, bytes_moved=moved)})


BENCHMARKS = [Benchmark("select", "N:M and row selection of 4096 x 4096 scores against torch.topk and torch.sort", run)]
