"""Products with sparse weights on a GPU beside torch's dense product there. Both read cold weights."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import linear

from fewer.core import Count, Density, noise, select
from fewer.errors import MeasureError
from fewer.kernels.dispatch import gpu_path
from fewer.kernels.forms import FORMS, pack
from fewer.measure.benchmark import Benchmark, Point, pair
from fewer.measure.device import cache_bytes, device_bandwidth
from fewer.measure.latency import Rotation

SHAPES = ((4096, 4096), (576, 1536), (1536, 576))
"""(in, out)."""
BATCHES = (1, 16, 1024)
DTYPE = torch.bfloat16
CALLS = 20
"""Products in one measurement: they queue up on the device, so that starting and waiting count once."""


def run(name: str, form: str, settings: dict[str, Callable[[int, int], Tensor]]) -> Iterator[Point]:
    """One point for each setting, shape and batch.

    Raises:
        MeasureError: there is no CUDA device, no Triton for the blocks, or the form cannot be had on this device.
    """
    if not torch.cuda.is_available():
        raise MeasureError(
            f"{name} needs a CUDA device, and torch finds none; for this processor there are gemv-2to4 and gemv-80."
        )
    if form == "blocks" and gpu_path() != "triton":
        raise MeasureError(
            f'{name} needs Triton, and the path is "{gpu_path()}": pip install "fewer[gpu]", unset FEWER_KERNELS.'
        )
    device = torch.device("cuda", torch.cuda.current_device())
    for setting, make in settings.items():
        for width, height in SHAPES:
            matrix = make(width, height).to(device, DTYPE)
            if why := FORMS[form].refusal(matrix):
                raise MeasureError(f"{name}: {why}")
            for batch in BATCHES:
                with torch.inference_mode():
                    yield _point(name, f"{setting}, {width}x{height}, batch {batch}", form, matrix, batch)


def _point(name: str, at: str, form: str, matrix: Tensor, batch: int) -> Point:
    x = noise((batch, matrix.shape[1]), 1, "inputs").to(matrix)
    cache = cache_bytes(matrix.device)
    first = pack(matrix, form)
    packed = Rotation(first, first.nbytes, cache_bytes=cache, copy=lambda _: pack(matrix, form))
    dense = Rotation(matrix, matrix.nbytes, cache_bytes=cache, copy=torch.clone)

    def ours() -> None:
        for _ in range(CALLS):
            next(packed).multiply(x)

    def peer() -> None:
        for _ in range(CALLS):
            linear(x, next(dense))

    exact = x.double() @ matrix.double().t()
    point = pair(name, at, ours, peer, "torch dense", quality_ours=_error(first.multiply(x), exact))
    seconds, bound = point.ours / CALLS, batch <= 16
    return replace(
        point,
        ours=seconds,
        peer=point.peer / CALLS,
        quality_peer=_error(linear(x, matrix), exact),
        limit_share=first.nbytes / seconds / device_bandwidth(matrix.device) if bound else None,
        limit="the device's memory bandwidth" if bound else "not known: arithmetic of a sparse tensor core is not measured",
    )


def half(width: int, height: int) -> Tensor:
    """2:4 by magnitude."""
    weights = noise((height, width), 0, "weights")
    return weights * select(weights.abs(), "2:4", Density(0.5)).mask


def blocky(side: int, density: float, width: int, height: int) -> Tensor:
    """Blocks of that side at random places."""
    tiles = (height // side, width // side)
    kept = select(noise(tiles, 2, "blocks"), "layer", Count(round(density * tiles[0] * tiles[1]))).mask
    return noise((height, width), 0, "weights") * kept.repeat_interleave(side, 0).repeat_interleave(side, 1)


def _error(product: Tensor, exact: Tensor) -> float:
    """Largest error, in units of the largest result."""
    return float((product.double() - exact).abs().max() / exact.abs().max())


BENCHMARKS = [
    Benchmark(
        "gpu-2to4",
        "on a GPU: torch's semi-structured 2:4 against its dense product",
        partial(run, "gpu-2to4", "semi-structured", {"2:4": half}),
    ),
    Benchmark(
        "gpu-blocks",
        "on a GPU: block-sparse products in Triton against torch's dense product",
        partial(
            run,
            "gpu-blocks",
            "blocks",
            {f"{side}x{side} blocks, density {d}": partial(blocky, side, d) for side in (16, 64) for d in (0.5, 0.2, 0.1)},
        ),
    ),
]
