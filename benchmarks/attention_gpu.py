"""Sparse attention and sparse activations on a GPU beside torch's FlashAttention, FlexAttention and dense products there.

Shapes are those of an 8B model: 32 query heads, 8 KV heads, heads of 128, bfloat16. Operands are random: they say how fast a
share of kept keys is read, not how small that share may be. Kept columns lie scattered, which is the hardest case.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import linear, scaled_dot_product_attention

from fewer.core import noise
from fewer.errors import MeasureError
from fewer.kernels import flex
from fewer.kernels.attention_reference import columns as exact_columns
from fewer.kernels.block_lists import BlockLists
from fewer.kernels.dispatch import gpu_path
from fewer.measure.benchmark import Benchmark, Point, pair
from fewer.measure.device import cache_bytes, device_bandwidth
from fewer.measure.latency import Rotation

HEADS, KV_HEADS, DIM = 32, 8, 128
DTYPE = torch.bfloat16
BLOCK, STEP = 128, 16
PREFILLS = ((32768, 0.2), (32768, 0.1), (65536, 0.1), (131072, 0.05))
"""Tokens, and the density that theta is chosen for: cells of the causal half, those that are always kept among them."""
DECODES = ((32768, 256), (32768, 1024), (131072, 256), (131072, 1024), (131072, 4096))
"""Cached keys, and gathered ones."""
DENOISINGS = ((32768, 0.3), (32768, 0.1), (65536, 0.3), (131072, 0.3))
"""Tokens, and the share of kept blocks."""
SHAPES = ((4096, 4096), (4096, 14336), (14336, 4096))
"""(in, out)."""
CALLS = 20
"""Short calls in one measurement, at least."""
FLEX = "FlexAttention, compiled"
ARITHMETIC = "not known: arithmetic of a tensor core is not measured"
MEMORY = "the device's memory bandwidth"


def run(name: str, points: Callable[[str, torch.device], Iterator[Point]]) -> Iterator[Point]:
    """The points, where there is a device for them.

    Raises:
        MeasureError: there is no CUDA device, or no Triton.
    """
    if not torch.cuda.is_available():
        raise MeasureError(
            f"{name} needs a CUDA device, and torch finds none; `fewer bench --list` names those for a processor."
        )
    if gpu_path() != "triton":
        raise MeasureError(
            f'{name} needs Triton, and the path is "{gpu_path()}": pip install "fewer[gpu]", unset FEWER_KERNELS.'
        )
    with torch.inference_mode():
        yield from points(name, torch.device("cuda", torch.cuda.current_device()))


def prefill(name: str, device: torch.device) -> Iterator[Point]:
    """Anchor attention, all three phases. The mask of FlexAttention is made beforehand, from columns found beforehand."""
    from fewer.kernels.gpu.anchor import anchor, anchor_columns, near

    for n, density in PREFILLS:
        q, k, v = operands(n, device)
        found = near(q, k, v, BLOCK * STEP, BLOCK, BLOCK)
        theta, reached = _theta(lambda t: anchor_columns(q, k, found, t, BLOCK, STEP), n, density)  # noqa: B023
        mask = flex.anchor_mask(anchor_columns(q, k, found, theta, BLOCK, STEP), BLOCK, STEP)
        facts = {"theta": theta, "density": reached}
        yield from beside(
            name,
            f"{n} tokens, density {reached:.3f}",
            partial(anchor, q, k, v, theta, BLOCK, STEP),
            {"torch FlashAttention": partial(_flash, q, k, v, True), FLEX: partial(_compiled(), q, k, v, mask)},
            limit=ARITHMETIC,
            facts=facts,
        )


def decoding(name: str, device: torch.device) -> Iterator[Point]:
    """One token over gathered keys, one list for all heads; each call has another list. Calls are replayed as a CUDA graph."""
    from fewer.kernels.gpu.decode import dense, gathered

    for keys, kept in DECODES:
        whole, k, v = operands(keys, device)
        q = whole[:, :, -1:].contiguous()
        touched = 2 * kept * KV_HEADS * DIM * k.element_size()
        draw = partial(_drawn, keys, kept, device)
        lists = Rotation(draw(), touched, cache_bytes=cache_bytes(device), copy=lambda _: draw()).copies  # noqa: B023
        lists += [draw() for _ in range(CALLS - len(lists))]
        compiled, mask = _compiled(), flex.gathered_mask(lists[0], q, k)
        calls = len(lists)
        peers: dict[str, list[Callable[[], Tensor]]] = {
            "torch FlashAttention, all keys": [partial(_flash, q, k, v, False)] * calls,
            "our dense kernel": [partial(dense, q[:, :, 0], k, v)] * calls,
            "index_select and FlashAttention": [partial(_selected, q, k, v, at[0]) for at in lists],
            FLEX: [partial(compiled, q, k, v, mask)] * calls,
        }
        for point in beside(
            name,
            f"{kept} of {keys} keys",
            graphed([partial(gathered, q[:, :, 0], k, v, at) for at in lists], device),
            {peer: graphed(of, device) for peer, of in peers.items()},
            limit=MEMORY,
            error=_error(gathered(q[:, :, 0], k, v, lists[0]), compiled(q, k, v, mask)[:, :, 0]),
        ):
            seconds = point.ours / calls
            yield replace(
                point, ours=seconds, peer=point.peer / calls, limit_share=touched / seconds / device_bandwidth(device)
            )


def denoising(name: str, device: torch.device) -> Iterator[Point]:
    """Kept blocks without a causal mask, as in a diffusion language model: 32 heads of keys too. Lists are made beforehand."""
    from fewer.kernels.gpu.block_attention import blocks

    for n, density in DENOISINGS:
        q, k, v = operands(n, device, HEADS)
        side = -(-n // BLOCK)
        scores = torch.rand(1, HEADS, side, side, device=device, generator=torch.Generator(device).manual_seed(2))
        kept = scores.argsort(-1).argsort(-1) < round(density * side)
        lists = BlockLists.of(kept, BLOCK)
        mask = flex.blocks_mask(lists, q, k)
        yield from beside(
            name,
            f"{n} tokens, {density} of the blocks of {BLOCK}",
            partial(blocks, q, k, v, lists),
            {"torch FlashAttention": partial(_flash, q, k, v, False), FLEX: partial(_compiled(), q, k, v, mask)},
            limit=ARITHMETIC,
        )


def products(name: str, device: torch.device) -> Iterator[Point]:
    """One vector by cold weights, at half of the weights touched: by large inputs alone, and with a low-rank copy for the rest.
    Calls are replayed as a CUDA graph.
    """
    from fewer.kernels.gpu.columns import columns

    for width, height in SHAPES:
        weight = noise((width, height), 0, "weights").to(device, DTYPE)
        x = noise((1, width), 1, "inputs").to(device, DTYPE)
        for density, low in ((0.5, False), (0.3, False), (0.5, True)):
            share = 0.95 * density if low else density  # R-Sparse's rho
            rank = int((density - share) * width * height / (width + height))
            threshold = float(x.float().abs().quantile(1 - share))
            factors = (weight[:, :rank].contiguous(), weight[:rank].contiguous()) if low else ()
            parts = (weight, *factors)
            touched = int((share * width * height + rank * (width + height)) * weight.element_size())
            cold = Rotation(
                parts, touched, cache_bytes=cache_bytes(device), copy=lambda given: tuple(part.clone() for part in given)
            ).copies
            calls = max(CALLS, len(cold))
            ours = [partial(columns, x, cold[i % len(cold)][0], threshold, *cold[i % len(cold)][1:]) for i in range(calls)]
            matrices = [given[0].t().contiguous() for given in cold]
            peer = [partial(linear, x, matrices[i % len(cold)]) for i in range(calls)]
            exact = exact_columns(x.double(), weight.double(), threshold, *(f.double() for f in factors))
            for point in beside(
                name,
                f"{width}x{height}, {share:.3g} of the inputs" + (f" and rank {rank}" if low else ""),
                graphed(ours, device),
                {"torch dense": graphed(peer, device)},
                limit=MEMORY,
                error=_error(ours[0](), exact),
            ):
                seconds = point.ours / calls
                yield replace(
                    point, ours=seconds, peer=point.peer / calls, limit_share=touched / seconds / device_bandwidth(device)
                )


def operands(n: int, device: torch.device, kv_heads: int = KV_HEADS) -> tuple[Tensor, Tensor, Tensor]:
    """Random q, k and v of one sequence."""
    generator = torch.Generator(device).manual_seed(0)
    q, k, v = (
        torch.randn(1, heads, n, DIM, device=device, dtype=DTYPE, generator=generator) for heads in (HEADS, kv_heads, kv_heads)
    )
    return q, k, v


def beside(
    name: str,
    at: str,
    ours: Callable[[], object],
    peers: dict[str, Callable[[], object]],
    limit: str,
    error: float | None = None,
    facts: dict[str, float | str] | None = None,
) -> Iterator[Point]:
    """One point a peer. Where calls give results, `quality_ours` is their distance from FlexAttention's on the same keys."""
    if error is None:
        mine, other = ours(), peers[FLEX]()
        assert isinstance(mine, Tensor) and isinstance(other, Tensor)
        error = _error(mine, other)
        del mine, other
    for peer, call in peers.items():
        yield pair(name, at, ours, call, peer, quality_ours=error, limit=limit, facts=facts or {})


def graphed(calls: list[Callable[[], Tensor]], device: torch.device) -> Callable[[], object]:
    """All calls one after the other, replayed: short kernels would otherwise wait for Python, ours longest."""
    for call in calls:
        call()
    if device.type != "cuda":
        return lambda: [call() for call in calls]
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return graph.replay


def _theta(columns: Callable[[float], Tensor], n: int, density: float) -> tuple[float, float]:
    """The theta whose columns make up that density, by halving, and the density that they reach."""
    low, high = -50.0, 50.0
    for _ in range(20):
        theta = (low + high) / 2
        reached = _density(columns(theta), n)
        low, high = (theta, high) if reached < density else (low, theta)
    return theta, reached


def _density(columns: Tensor, n: int) -> float:
    """Share of the causal cells that are kept, in the first block, the block before a group, the group and the columns."""
    group = BLOCK * STEP
    begin = torch.arange(0, n, group, device=columns.device)
    size = (n - begin).clamp(max=group)
    near = (begin.clamp(max=2 * BLOCK) * size + size * (size + 1) // 2).sum()
    far = (columns.sum(-1) * size).double().sum((1, 2)).mean() / columns.shape[1]
    return float((near + far) / (n * (n + 1) / 2))


def _drawn(keys: int, kept: int, device: torch.device) -> Tensor:
    return torch.randperm(keys, device=device)[None, :kept].sort(-1).values


def _flash(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1])


def _selected(q: Tensor, k: Tensor, v: Tensor, at: Tensor) -> Tensor:
    return _flash(q, k.index_select(2, at), v.index_select(2, at), False)


def _compiled() -> Callable[..., Tensor]:
    """Afresh for each setting, so that none of them is compiled for shapes left open. Warm-up rounds are not timed."""
    torch.compiler.reset()
    return torch.compile(flex.attend, dynamic=False)


def _error(result: Tensor, exact: Tensor) -> float:
    """Largest error, in units of the largest result."""
    return float((result.double() - exact.double()).abs().max() / exact.double().abs().max())


BENCHMARKS = [
    Benchmark(name, f"on a GPU: {about}", partial(run, name, points))
    for name, about, points in (
        ("anchor-prefill-gpu", "anchor attention of 32k to 128k tokens against FlashAttention and FlexAttention", prefill),
        ("tidal-gather-gpu", "a token's attention to gathered keys against all keys, index_select and FlexAttention", decoding),
        ("sparsed-gpu", "attention to kept blocks against FlashAttention and FlexAttention", denoising),
        ("rsparse-gemv-gpu", "products of large inputs alone against torch's dense product", products),
    )
]
