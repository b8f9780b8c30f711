"""Which keys are found at equal density: anchor attention and vertical-slash beside the rule of minference, on one Q and K."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from fewer_benchmarks.peers import minference

from fewer.attention.anchor import Anchor
from fewer.attention.families.vertical_slash import VerticalSlashAttention
from fewer.attention.frontier import text_tasks
from fewer.attention.frontier.fitted import Call, calls, fitted
from fewer.attention.inputs import Inputs
from fewer.attention.keys import KeySet
from fewer.attention.memory import Memory
from fewer.core.one_thread import one_thread
from fewer.data import text
from fewer.data.models import load_causal_lm
from fewer.measure.benchmark import Benchmark, Point, pair

DENSITIES = (0.1, 0.2, 0.3)
LENGTHS = (4096, 8192)
MODEL = "smollm2-135m"
STEP = 2
"""Of anchor attention: groups of 128 queries, whose own keys are a smaller part of a small budget."""


def run() -> Iterator[Point]:
    """Recall: the share of the exact attention weights that the kept cells hold, over all queries.

    Three layers, one query head of each KV head. Times are those of scoring and choosing, in torch. Densities are in cells that
    each kernel reads: diagonals of minference are rounded to blocks of 64, ours are not.
    """
    model, tokenizer = load_causal_lm(MODEL, dtype=torch.bfloat16)
    source = text_tasks.words_of(tokenizer, text.default_text("test").text)
    with one_thread():
        for length in LENGTHS:
            sample = text_tasks.continuation(source, length, np.random.default_rng(0))
            given = [Call(_looked_at(call.inputs)) for call in calls(model, sample, "prefill")[1::2]]
            for target in DENSITIES:
                yield from _points(given, length, target)


def _looked_at(inputs: Inputs) -> Inputs:
    return replace(inputs, q=inputs.q[:, :: inputs.share].float(), k=inputs.k.float(), v=inputs.v.float())


def _points(given: list[Call], length: int, target: float) -> Iterator[Point]:
    size = _minference_at(given, target)
    peer = [minference.key_set(call.inputs, size, size) for call in given]
    density_peer, recall_peer = _kept(peer, given)
    lines = fitted(VerticalSlashAttention(), density_peer, given)
    twin = fitted(cast("VerticalSlashAttention", VerticalSlashAttention().random_twin()), density_peer, given)
    anchor = _anchor_at(given, density_peer)
    for name, choose in (
        ("vertical-slash", lambda inputs: lines.choose(inputs, Memory())),
        ("random vertical-slash", lambda inputs: twin.choose(inputs, Memory())),
        ("anchor", lambda inputs: anchor.choose(inputs, Memory())),
    ):
        ours = [choose(call.inputs) for call in given]
        density_ours, recall_ours = _kept(ours, given)
        yield pair(
            "attention-front",
            f"{name}, {length} tokens, density {density_ours:.3f}",
            _each(choose, given),
            _each(lambda inputs: minference.chosen(inputs, size, size), given),
            "minference's vertical-slash rule",
            repeats=3,
            warmup=1,
            quality_ours=recall_ours,
            quality_peer=recall_peer,
            facts={"density_ours": density_ours, "density_peer": density_peer, "arm": name, "size_peer": size},
        )


def _each(choose: Callable[[Inputs], object], given: list[Call]) -> Callable[[], None]:
    def run_all() -> None:
        for call in given:
            choose(call.inputs)

    return run_all


def _minference_at(given: list[Call], target: float) -> int:
    """As many columns as diagonals, so that about `target` of the cells are read; not below what the rule always takes."""
    low, high = 30, given[0].inputs.keys // 2
    while high - low > max(2, low // 50):
        size = (low + high) // 2
        reached = np.mean([minference.key_set(c.inputs, size, size).density(c.inputs) for c in given])
        low, high = (low, size) if reached > target else (size, high)
    return low


def _anchor_at(given: list[Call], target: float) -> Anchor:
    low, high = -30.0, 30.0
    for _ in range(12):
        theta = (low + high) / 2
        method = Anchor(theta=theta, step=STEP)
        reached = np.mean([method.choose(c.inputs, Memory()).density(c.inputs) for c in given])
        low, high = (low, theta) if reached > target else (theta, high)
    return Anchor(theta=low, step=STEP)


def _kept(found: list[KeySet], given: list[Call]) -> tuple[float, float]:
    """Mean density and recall over the layers."""
    densities, recalls = [], []
    for keys, (inputs, _) in zip(found, given, strict=True):
        kept = cells = 0.0
        for start, stop, mask in keys.pieces(inputs):
            weights = inputs.logits(start, stop).softmax(-1)
            kept += float((weights * mask).sum())
            cells += float(mask.sum())
        densities.append(cells / (inputs.heads * inputs.cells))
        recalls.append(kept / (inputs.heads * inputs.queries))
    return float(np.mean(densities)), float(np.mean(recalls))


BENCHMARKS = [Benchmark("attention-front", "Attention weights found at equal density, beside minference's rule", run)]
