"""Attention to three tenths of the key blocks beside dense attention, in both directions."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fewer.core import noise
from fewer.core.topk import keep_largest
from fewer.kernels import attention_prefill, attention_reference
from fewer.kernels.attention_blocks import blocks
from fewer.kernels.dispatch import attention_path
from fewer.measure.benchmark import Benchmark, Point
from fewer.measure.latency import interleaved, ratio

LENGTHS, BLOCKS = (2048, 4096, 8192), (32, 128)
HEADS, DIM, SELECT = 2, 64, 0.3
COPIES = 2
"""Sets of queries, keys and values that take turns."""


def points(name: str, best_peer: bool) -> Iterator[Point]:
    """One point a length and block; with `best_peer` the peer is the faster of torch and our own dense kernel.

    Blocks are drawn at random, as many for every block of queries: neighbours then share few, the worst case for small blocks.
    """
    for length in LENGTHS:
        for block in BLOCKS:
            with torch.inference_mode():
                yield _point(name, length, block, best_peer)


def _point(name: str, length: int, block: int, best_peer: bool) -> Point:
    drawn = [_drawn(length, seed) for seed in range(COPIES)]
    side = -(-length // block)
    kept = keep_largest(noise((HEADS * side, side), 0, length, block), int(side * SELECT) + 1).view(1, HEADS, side, side)

    def turn(attend: Callable[..., Tensor]) -> Callable[[], Tensor]:
        turns = cycle(drawn)
        return lambda: attend(*next(turns))

    runs = {"blocks": turn(lambda q, k, v: blocks(q, k, v, kept, block)), "torch": turn(scaled_dot_product_attention)}
    if best_peer and not attention_prefill.refusal(*drawn[0]):
        runs["our dense kernel"] = turn(lambda q, k, v: attention_prefill.dense(q, k, v, DIM**-0.5, causal=False))
    timed = interleaved(runs, repeats=7, warmup=2)
    peer = min((n for n in timed if n != "blocks"), key=lambda n: timed[n].median)
    found = ratio(timed[peer], timed["blocks"])
    return Point(
        name,
        f"{length} tokens, {HEADS} heads of {DIM}, blocks of {block}, {attention_path()}",
        timed["blocks"].median,
        timed[peer].median,
        peer,
        found.mean,
        found.low,
        found.high,
        quality_ours=_error(*drawn[0], kept, block),
        facts={"density": float(kept.float().mean())},
    )


def _drawn(length: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(1, HEADS, length, DIM, generator=draws) for _ in range(3))
    return q, k, v


def _error(q: Tensor, k: Tensor, v: Tensor, kept: Tensor, block: int) -> float:
    """Largest error of the first block of queries, against double."""
    rows = kept[:, :, :1].repeat_interleave(block, 3)[..., : k.shape[2]]
    exact = attention_reference.attend(q[:, :, :block].double(), k.double(), v.double(), rows)
    return float((blocks(q, k, v, kept, block)[:, :, :block].double() - exact).abs().max())


BENCHMARKS = [
    Benchmark(
        f"sparsed-blocks{'-best' if best else ''}",
        "bidirectional attention to 30% of the key blocks, against "
        + ("the best dense attention at hand" if best else "torch's dense attention"),
        partial(points, f"sparsed-blocks{'-best' if best else ''}", best),
    )
    for best in (False, True)
]
