"""Anchor attention as `fit` finds it for a budget of perplexity: SmolLM2 at 8k tokens, time and loss beside dense and twins."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from fewer_benchmarks.peers import prefill
from jaxtyping import Int
from torch import Tensor

import fewer.attention
from fewer.attention.anchor import DENSITIES, Anchor
from fewer.attention.columns import BlockColumns
from fewer.attention.fit_prefill import fit_anchor, measure_candidates
from fewer.attention.inputs import Inputs
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention
from fewer.attention.watch import using, watched
from fewer.data import text
from fewer.data.models import load_causal_lm
from fewer.measure.benchmark import Benchmark, Point
from fewer.measure.latency import interleaved
from fewer.measure.quality import long_nll

LENGTH, PART = 8192, 4096
"""Tokens of a text; how many of them the backward pass reads."""
THETAS = (-math.inf, 1.0, 4.0, 7.0, 10.0, math.inf)
Thetas = Mapping[int, Sequence[float]]


@dataclass(frozen=True)
class ByLayer(SparseAttention):
    """Another method in each layer."""

    methods: tuple[SparseAttention, ...] = ()

    def attend(self, inputs: Inputs, memory: Memory) -> Tensor:
        return self.methods[inputs.layer].attend(inputs, memory)


def points(name: str, budgets: Sequence[float]) -> Iterator[Point]:
    model, tokenizer = load_causal_lm("smollm2-135m")
    fitting, other = (_window(tokenizer, split) for split in ("calibration", "test"))
    candidates = measure_candidates(model, fitting[:, :PART], Anchor(), THETAS)
    for budget in budgets:
        found = fit_anchor(model, fitting, loss_budget=budget, thetas=THETAS, candidates=candidates)
        yield from measured(name, model, other, found.thetas, f"perplexity at most +{budget:.0%} on the fitting text")


def _window(tokenizer: Any, split: Any) -> Int[Tensor, "1 length"]:
    ids = tokenizer(text.default_text(split).text, return_tensors="pt").input_ids
    return ids.repeat(1, -(-LENGTH // ids.shape[1]))[:, :LENGTH]


@torch.inference_mode()
def measured(name: str, model: Any, tokens: Int[Tensor, "1 length"], thetas: Thetas, at: str) -> Iterator[Point]:
    """Time of the attention of all layers, and of the whole prompt; perplexity on a text that nothing was chosen on."""
    methods = [Anchor(theta=tuple(thetas[n])) for n in range(len(thetas))]
    calls: list[Inputs] = []
    with watched(fewer.attention.configure(model, "dense"), lambda inputs, _: calls.append(inputs)):
        model.base_model(tokens, use_cache=False)
    memory = Memory({DENSITIES: {}})
    for inputs in calls:
        methods[inputs.layer].attend(inputs, memory)
    density = sum(memory[DENSITIES].values()) / len(calls)
    losses = {
        "dense": _loss(model, tokens, [named for named in [fewer.attention.named("dense")] for _ in methods]),
        "fitted": _loss(model, tokens, methods),
        "random": _loss(model, tokens, [method.random_twin() for method in methods]),  # type: ignore[misc]
        "blocks": _loss(model, tokens, [BlockColumns(of=method) for method in methods]),
    }
    increase = {who: math.expm1(loss - losses["dense"]) for who, loss in losses.items()}

    facts = {
        "density": density,
        "dense_perplexity": math.exp(losses["dense"]),
        "increase_random_twin": increase["random"],
        "increase_block_twin": increase["blocks"],
        **_whole(model, tokens, methods),
    }

    def fitted(inputs: Inputs) -> Tensor:
        return methods[inputs.layer].attend(inputs, Memory())

    for point in prefill.points(name, at, calls, fitted, list(prefill.PEERS)):
        yield replace(point, quality_ours=increase["fitted"], quality_peer=0.0, facts=facts)


def _whole(model: Any, tokens: Tensor, methods: Sequence[SparseAttention]) -> dict[str, float]:
    """Seconds for the whole prompt, linear layers included: stock, with our dense kernel, and as fitted."""

    def stock() -> None:
        model.set_attn_implementation("sdpa")
        model.base_model(tokens, use_cache=False)

    def dense() -> None:
        fewer.attention.configure(model, "dense")
        model.base_model(tokens, use_cache=False)

    def fitted() -> None:
        with using(model, ByLayer(methods=tuple(methods))):
            model.base_model(tokens, use_cache=False)

    timed = interleaved({"stock": stock, "dense": dense, "fitted": fitted}, 1, 0)
    return {f"prefill_seconds_{who}": timing.median for who, timing in timed.items()}


def _loss(model: Any, tokens: Int[Tensor, "1 length"], methods: Sequence[SparseAttention]) -> float:
    with using(model, ByLayer(methods=tuple(methods))):
        return long_nll(model, tokens)


BENCHMARKS = [
    Benchmark(
        "anchor-fit",
        "anchor attention fitted to +2% and +5% of perplexity at 8k tokens, against torch SDPA and our dense kernel",
        partial(points, "anchor-fit", (0.05, 0.02)),
    ),
]
