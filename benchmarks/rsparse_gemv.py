"""Products that skip half of the inputs, beside torch's dense product, and beside the best dense one at hand."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

import torch
from torch import Tensor
from torch.nn.functional import linear

from fewer.kernels.dispatch import cpu_path
from fewer.kernels.forms import pack, settle
from fewer.kernels.forms.columns import ColumnProduct, Columns
from fewer.measure.bandwidth import read_bandwidth
from fewer.measure.benchmark import Benchmark, Point
from fewer.measure.latency import Rotation, interleaved, ratio

SHAPES = ((1536, 576), (576, 1536), (5632, 2048), (2048, 5632))
"""(in, out)."""
DENSITY = 0.5
RANKS = (0, 16)
ROUNDS = 15
ONE_TURN = 2**25  # bytes of dense weights that a timed turn goes through: a small product alone is near the clock's own cost


def points(name: str, best_peer: bool) -> Iterator[Point]:
    """Each shape without and with a low-rank copy for the other inputs, float32; then bfloat16 beside torch's own bfloat16."""
    for width, height in SHAPES:
        for dtype, rank in ((torch.float32, RANKS[0]), (torch.float32, RANKS[1]), (torch.bfloat16, 0)):
            with torch.inference_mode():
                yield _point(name, width, height, rank, dtype, best_peer)


def _point(name: str, width: int, height: int, rank: int, dtype: torch.dtype, best_peer: bool) -> Point:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, width, generator=generator)
    thresholds = torch.full((width,), float(x.abs().quantile(1 - DENSITY)))
    weight = torch.randn(height, width, generator=generator).to(dtype)
    factors = [torch.randn(*sides, generator=generator).to(dtype) for sides in ((width, rank), (rank, height))] if rank else []
    columns = Columns(weight, thresholds, *factors)
    share = float((x.abs() > thresholds).float().mean())
    touched = int(share * weight.nbytes + (1 - share) * sum(f.nbytes for f in factors[:1]) + sum(f.nbytes for f in factors[1:]))
    ours = Rotation(columns, touched)
    settle(ours.copies)  # type: ignore[arg-type]
    products = cycle([ColumnProduct([one]) for one in ours.copies])
    dense = Rotation(weight, weight.nbytes)
    at_once = max(1, ONE_TURN // weight.nbytes)
    inputs = x.to(dtype)

    def turn(cold: Iterator, multiply: Callable) -> Callable[[], None]:
        def run() -> None:
            for _ in range(at_once):
                multiply(next(cold))

        return run

    runs = {"ours": turn(products, lambda p: p.multiply(x)), "torch": turn(dense, lambda w: linear(inputs, w))}
    if best_peer:
        packed = [pack(w, "dense") for w in dense.copies]
        runs["our dense kernel"] = turn(cycle(packed), lambda p: p.multiply(x))
    timed = interleaved(runs, ROUNDS)
    if best_peer and dtype is torch.float32:  # by itself: numpy's threads go on spinning and would slow whoever comes next
        vector = x[0].numpy()
        timed |= interleaved({"numpy": turn(cycle([w.numpy() for w in dense.copies]), lambda w: w @ vector)}, ROUNDS)
    peer = min((who for who in timed if who != "ours"), key=lambda who: timed[who].median)
    found = ratio(timed[peer], timed["ours"])
    seconds = timed["ours"].median / at_once
    large = (x * (x.abs() > thresholds)).double()
    exact = large @ weight.double().t()
    if factors:
        exact += (x.double() - large) @ factors[0].double() @ factors[1].double()
    return Point(
        name,
        f"{width}x{height}, {str(dtype).removeprefix('torch.')}, rank {rank}, {cpu_path()}",
        seconds,
        timed[peer].median / at_once,
        peer,
        found.mean,
        found.low,
        found.high,
        quality_ours=_error(ColumnProduct([columns]).multiply(x)[0], exact),
        quality_peer=_error(linear(inputs, weight), x.double() @ weight.double().t()),
        limit_share=touched / seconds / read_bandwidth(),
        limit=f"memory bandwidth; {touched / weight.nbytes:.2f} of the dense bytes are read",
    )


def _error(product: Tensor, exact: Tensor) -> float:
    """Largest error against the same product in double, in units of the largest result."""
    return float((product.double() - exact).abs().max() / exact.abs().max())


BENCHMARKS = [
    Benchmark(
        f"rsparse-gemv{'-best' if best else ''}",
        "one vector by the weights of the larger half of its inputs, cold, threshold test included, against "
        + ("the best dense product at hand" if best else "torch's dense product"),
        partial(points, f"rsparse-gemv{'-best' if best else ''}", best),
    )
    for best in (False, True)
]
