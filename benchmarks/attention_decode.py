"""Attention of one new token to 8,192 cached ones in shapes of SmolLM2-135M, beside torch's SDPA and our own dense kernel.

Each reads the cache that its user has: ours `fewer.attention.Cache`, where a token's keys and values of all KV heads lie side
by side, in huge pages; SDPA what transformers' `DynamicCache` holds, keys and values of each head apart in torch's memory.
Our dense kernel as a peer of sparse attention reads the latter, too: it is faster there.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import cycle
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fewer.attention.cache import BufferLayer
from fewer.attention.inputs import Inputs
from fewer.attention.memory import Memory
from fewer.attention.tidal import Tidal
from fewer.kernels.attention_decode import decode
from fewer.kernels.attention_reference import gathered
from fewer.kernels.dispatch import cpu_path
from fewer.measure.bandwidth import read_bandwidth
from fewer.measure.benchmark import Benchmark, Point
from fewer.measure.latency import Rotation, interleaved, ratio

HEADS, KV_HEADS, DIM, KEYS, LAYERS = 9, 3, 64, 8192, 30
SCALE = DIM**-0.5
KEPT = (128, 256, 512, 1024)
ROUNDS = 15
PEER, OWN = "torch SDPA", "our dense kernel"
SELECT = {
    "every second layer chooses": tuple(range(2, LAYERS, 2)),
    "layers 2, 9, 14, 17, 20 choose": (2, 9, 14, 17, 20),
    "layers 2 and 13 choose": (2, 13),
}

Pair = tuple[Tensor, Tensor]


def cached(layers: int = 1) -> list[Pair]:
    """Keys and values of layers, as transformers holds them."""
    made = torch.randn(layers, 2, 1, KV_HEADS, KEYS, DIM, generator=torch.Generator().manual_seed(0))
    return [(k, v) for k, v in made]


def held(pairs: list[Pair]) -> list[Pair]:
    """The same in the layers of our own cache."""
    return [BufferLayer(k.shape[2], None).update(k, v) for k, v in pairs]


def query(seed: int = 0) -> Tensor:
    return torch.randn(1, HEADS, 1, DIM, generator=torch.Generator().manual_seed(seed))


def cold(pairs: list[Pair], copy: Callable[[list[Pair]], list[Pair]] = deepcopy) -> Rotation[list[Pair]]:
    """More keys and values than the last cache holds; each candidate has its own, so that none warms another's."""
    return Rotation(copy(pairs), sum(k.nbytes + v.nbytes for k, v in pairs), copy=copy)


def turn(calls: int, once: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(calls):
            once()

    return run


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return scaled_dot_product_attention(q, k, v, scale=SCALE, enable_gqa=True)


def dense_points() -> Iterator[Point]:
    """All keys."""
    q, ours, theirs, calls = query(), cold(cached(), held), cold(cached()), 4
    with torch.inference_mode():
        timed = interleaved(
            {
                "ours": turn(calls, lambda: decode(q, *next(ours)[0], SCALE)),
                PEER: turn(calls, lambda: sdpa(q, *next(theirs)[0])),
            },
            ROUNDS,
        )
        ((k, v),) = ours.copies[0]
        exact = sdpa(q.double(), k.double(), v.double())
        errors = float((decode(q, k, v, SCALE) - exact).abs().max()), float((sdpa(q, k, v) - exact).abs().max())
    seconds, found = timed["ours"].median / calls, ratio(timed[PEER], timed["ours"])
    yield Point(
        "dense-decode",
        f"{KEYS} keys, {cpu_path()}",
        seconds,
        timed[PEER].median / calls,
        PEER,
        found.mean,
        found.low,
        found.high,
        quality_ours=errors[0],
        quality_peer=errors[1],
        limit_share=2 * k.nbytes / seconds / read_bandwidth(),
        limit="memory bandwidth for keys and values",
    )


def gather_points(name: str, peer: str) -> Iterator[Point]:
    """Listed keys, one list for all heads: from cold memory, since lists of a copy do not meet until all of it was read."""
    q, ours, theirs = query(), cold(cached(), held), cold(cached())
    ((k, v),) = ours.copies[0]
    dense = {PEER: sdpa, OWN: lambda q, k, v: decode(q, k, v, SCALE)}[peer]
    for kept in KEPT:
        shuffled = torch.randperm(KEYS, generator=torch.Generator().manual_seed(kept)).view(-1, 1, 1, kept)
        lists = [row.sort(-1).values.int() for row in shuffled]
        order = cycle([(pair, chosen) for chosen in lists for (pair,) in ours.copies])
        calls, peer_calls = 20, 2

        def once(order: Any = order) -> None:
            (keys, values), chosen = next(order)
            decode(q, keys, values, SCALE, chosen)

        with torch.inference_mode():
            timed = interleaved({"ours": turn(calls, once), peer: turn(peer_calls, lambda: dense(q, *next(theirs)[0]))}, ROUNDS)
            exact = gathered(q.double()[:, :, 0], k.double(), v.double(), lists[0], SCALE)
            error = float((decode(q, k, v, SCALE, lists[0])[:, :, 0] - exact).abs().max())
        seconds, theirs_seconds = timed["ours"].median / calls, timed[peer].median / peer_calls
        found, scale = ratio(timed[peer], timed["ours"]), calls / peer_calls
        yield Point(
            name,
            f"{kept} of {KEYS} keys, {cpu_path()}",
            seconds,
            theirs_seconds,
            peer,
            found.mean * scale,
            found.low * scale,
            found.high * scale,
            quality_ours=error,
            limit_share=kept / KEYS * 2 * k.nbytes / seconds / read_bandwidth(),
            limit="memory bandwidth for the rows that are read",
        )


def tidal_points() -> Iterator[Point]:
    """All 30 layers of one token: those that choose, choosing, and those that read chosen keys."""
    queries = [query(layer) for layer in range(LAYERS)]
    layers = cached(LAYERS)
    whole = sum(k.nbytes + v.nbytes for k, v in layers)
    copies, peers = cold(layers, held), cold(layers)

    def peer() -> None:
        for q, (k, v) in zip(queries, next(peers), strict=True):
            sdpa(q, k, v)

    for said, select in SELECT.items():
        for kept in (256, 512):
            method, memory = Tidal(keys=kept, select=select), Memory()

            def token(method: Tidal = method, memory: Memory = memory) -> None:
                for layer, (q, (k, v)) in enumerate(zip(queries, next(copies), strict=True)):
                    method.attend(Inputs(q, k, v, SCALE, layer=layer), memory)

            def dense() -> None:
                for q, (k, v) in zip(queries, next(peers), strict=True):
                    decode(q, k, v, SCALE)

            with torch.inference_mode():
                timed = interleaved({"ours": token, PEER: peer, OWN: dense}, ROUNDS)
            found = ratio(timed[PEER], timed["ours"])
            full = select[0] + len(select)
            share = (full + (LAYERS - full) * kept / KEYS) / LAYERS
            yield Point(
                "tidal-decode",
                f"{kept} of {KEYS} keys, {said}, {LAYERS} layers",
                timed["ours"].median,
                timed[PEER].median,
                PEER,
                found.mean,
                found.low,
                found.high,
                limit_share=share * whole / timed["ours"].median / read_bandwidth(),
                limit="memory bandwidth for what is read",
                facts={"read": share, "times_own_dense": median(timed[OWN].samples) / timed["ours"].median},
            )


BENCHMARKS = [
    Benchmark("dense-decode", "one token's attention to all of 8,192 cached ones, against SDPA", dense_points),
    Benchmark(
        "tidal-gather",
        "one token's attention to listed keys, against SDPA over all",
        lambda: gather_points("tidal-gather", PEER),
    ),
    Benchmark(
        "tidal-gather-best",
        "one token's attention to listed keys, against our dense kernel over all",
        lambda: gather_points("tidal-gather-best", OWN),
    ),
    Benchmark(
        "tidal-decode", "attention of all layers of SmolLM2-135M for one token by TidalDecode, against SDPA", tidal_points
    ),
]
