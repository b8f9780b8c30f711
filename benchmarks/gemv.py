"""Products of one vector with a sparse matrix beside torch's dense product, and beside the best dense one at hand."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

import torch
from torch import Tensor
from torch.nn.functional import linear

from fewer.core import Count, Density, noise, select
from fewer.core.pattern import Unstructured
from fewer.kernels.dispatch import cpu_path
from fewer.kernels.forms import Packed, pack, settle
from fewer.measure.bandwidth import read_bandwidth
from fewer.measure.benchmark import Benchmark, Point
from fewer.measure.latency import Rotation, interleaved, ratio

SHAPES = ((4096, 4096), (576, 1536), (1536, 576))
"""(in, out)."""
ROUNDS = 15
ONE_TURN = 2**25  # bytes of dense weights that a timed turn goes through: a small product alone is near the clock's own cost


def matrix(width: int, height: int, kind: str, seed: int) -> Tensor:
    """Normal weights, 2:4 by magnitude or zero at random positions."""
    weights = torch.randn(height, width, generator=torch.Generator().manual_seed(seed))
    if kind == "2:4":
        return weights * select(weights.abs(), "2:4", Density(0.5)).mask
    kept = Count(round((1 - int(kind) / 100) * weights.numel()))
    return weights * select(noise(weights.shape, seed), Unstructured(), kept).mask


def points(name: str, kind: str, best_peer: bool) -> Iterator[Point]:
    """One point a shape; with `best_peer` the peer is the fastest of torch, numpy and our own dense kernel."""
    for width, height in SHAPES:
        with torch.inference_mode():
            yield _point(name, kind, width, height, best_peer)


def _point(name: str, kind: str, width: int, height: int, best_peer: bool) -> Point:
    forms = ("2:4",) if kind == "2:4" else ("bitmask", "sliced")
    x = torch.randn(1, width, generator=torch.Generator().manual_seed(0))
    first = matrix(width, height, kind, 0)
    at_once = max(1, ONE_TURN // first.nbytes)
    dense = Rotation(first, first.nbytes)
    packed = {form: _settled(pack(first, form)) for form in forms}

    def turn(cold: Iterator, multiply: Callable) -> Callable[[], None]:
        def run() -> None:
            for _ in range(at_once):
                multiply(next(cold))

        return run

    runs = {form: turn(of, lambda p: p.multiply(x)) for form, of in packed.items()}
    runs["torch"] = turn(dense, lambda w: linear(x, w))
    if best_peer:
        runs["our dense kernel"] = turn(cycle([pack(w, "dense") for w in dense.copies]), lambda p: p.multiply(x))
    timed = interleaved(runs, ROUNDS)
    if best_peer:  # by itself: numpy's threads go on spinning and would slow whoever comes next
        vector = x[0].numpy()
        timed |= interleaved({"numpy": turn(cycle([w.numpy() for w in dense.copies]), lambda w: w @ vector)}, ROUNDS)
    form = min(forms, key=lambda name: timed[name].median)
    peers = [peer for peer in timed if peer not in forms]
    peer = min(peers, key=lambda name: timed[name].median)
    found = ratio(timed[peer], timed[form])
    seconds = timed[form].median / at_once
    exact = first.double() @ x[0].double()
    return Point(
        name,
        f"{width}x{height}, {form}, {cpu_path()}",
        seconds,
        timed[peer].median / at_once,
        peer,
        found.mean,
        found.low,
        found.high,
        quality_ours=_error(packed[form].copies[0].multiply(x)[0], exact),
        quality_peer=_error(linear(x, first)[0], exact),
        limit_share=packed[form].copies[0].nbytes / seconds / read_bandwidth(),
        limit=f"memory bandwidth; the form has {packed[form].copies[0].nbytes / first.nbytes:.2f} of the dense bytes",
    )


def _settled(packed: Packed) -> Rotation[Packed]:
    """Cold copies, laid out as `accelerate` lays them out."""
    cold = Rotation(packed, packed.nbytes)
    settle(cold.copies)
    return cold


def _error(product: Tensor, exact: Tensor) -> float:
    """Largest error, in units of the largest result."""
    return float((product.double() - exact).abs().max() / exact.abs().max())


BENCHMARKS = [
    Benchmark(
        f"gemv-{kind.replace(':', 'to')}{'-best' if best else ''}",
        f"one vector by a cold matrix at {kind if kind == '2:4' else kind + '%'}, against "
        + ("the best dense product at hand" if best else "torch's dense product"),
        partial(points, f"gemv-{kind.replace(':', 'to')}{'-best' if best else ''}", kind, best),
    )
    for kind in ("2:4", "50", "80", "90")
    for best in (False, True)
]
