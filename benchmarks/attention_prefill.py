"""Attention of whole prompts on SmolLM2's own tensors: our dense kernel and anchor attention beside torch's."""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import torch
from fewer_benchmarks.peers import prefill
from torch import Tensor

import fewer.attention
from fewer.attention.anchor import Anchor
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Stripes
from fewer.attention.memory import Memory
from fewer.attention.watch import watched
from fewer.data import text
from fewer.data.models import load_causal_lm
from fewer.kernels.dispatch import attention_path
from fewer.measure.benchmark import Benchmark, Point

RECALL = 0.95
THETAS = [t / 2 for t in range(-8, 41)]
ROWS, EVERY = 32, 512
"""Recall is taken over so many queries of so many."""
SPREAD = (1, 5, 9, 13, 17, 21, 25, 29)
EARLY = (1, 3, 5)
"""Layers beyond 8k tokens, where the model was never trained: raw tensors, of which only the first layers are computed."""


class Found(NamedTuple):
    """The theta at which a prompt's layers keep the recall asked for, on average, and what that comes to."""

    theta: float
    recall: float
    density: float
    densest: float
    """Of the layers."""


class _EnoughError(Exception):
    """The last layer that is wanted has been seen."""


@cache
def tensors(length: int, layers: Sequence[int]) -> list[Inputs]:
    """What attention is given in some layers, on `length` tokens of real text."""
    model, tokenizer = load_causal_lm("smollm2-135m")
    ids = tokenizer(text.default_text("test").text, return_tensors="pt").input_ids
    ids = ids.repeat(1, -(-length // ids.shape[1]))[:, :length]
    found: list[Inputs] = []

    def watch(inputs: Inputs, _: Tensor) -> None:
        if inputs.layer in layers:
            found.append(inputs)
        if inputs.layer == max(layers):
            raise _EnoughError

    with torch.inference_mode(), watched(fewer.attention.configure(model, "dense"), watch), suppress(_EnoughError):
        model.base_model(ids, use_cache=False)
    return found


@torch.inference_mode()
def at_recall(calls: Sequence[Inputs], method: Anchor) -> Found:
    """The smallest theta of the grid whose mean recall over layers is at least RECALL."""
    recalls, densities = [], []
    for inputs in calls:
        measured = method.measured(inputs, Memory())
        masses = torch.zeros(len(THETAS), dtype=torch.float64)
        rows = 0
        for first in range(method.group, inputs.queries - ROWS + 1, EVERY):
            start = first // method.group * method.group - method.block
            weights = inputs.logits(first, first + ROWS).softmax(-1)
            near = weights[..., : method.block].sum(-1) + weights[..., max(start, method.block) :].sum(-1)
            far = weights.sum(2)
            rows += ROWS * inputs.heads
            for n, theta in enumerate(THETAS):
                kept = measured[:, :, first // method.group] >= -theta
                masses[n] += float(near.sum() + (far * kept)[..., method.block : max(start, method.block)].sum())
        recalls.append(masses / rows)
        densities.append([Stripes(measured >= -t, method.group, method.block, method.block).density(inputs) for t in THETAS])
    recall, density = torch.stack(recalls).mean(0), torch.tensor(densities)
    n = int((recall >= RECALL).float().argmax())
    return Found(THETAS[n], float(recall[n]), float(density[:, n].mean()), float(density[:, n].max()))


def _error(inputs: Inputs) -> tuple[float, float]:
    """Largest differences to float64, of ours and of torch's, in the first head's last queries."""
    c = inputs
    q, k, v = c.q[:, :1, -64:].double(), c.k[:, :1].double(), c.v[:, :1].double()
    exact = (q @ k.mT * c.scale + torch.zeros(64, c.keys).masked_fill(~c.allowed(c.queries - 64), -math.inf)).softmax(-1) @ v
    ours, theirs = (float((attend(c)[:, :1, -64:] - exact).abs().max()) for attend in (prefill.ours, prefill.torchs))
    return ours, theirs


@torch.inference_mode()
def dense_points(name: str, lengths: Sequence[int]) -> Iterator[Point]:
    for length in lengths:
        calls = tensors(length, SPREAD if length <= 8192 else EARLY)[:2]
        at = f"{length} tokens, {len(calls)} layers, {attention_path()}"
        ours, theirs = _error(calls[0])
        work = sum(4 * c.heads * c.cells * c.dim for c in calls)
        for point in prefill.points(name, at, calls, prefill.ours, ["torch SDPA"], repeats=5):
            facts = {"gflops_a_second": work / point.ours / 1e9, "quality": "largest difference to float64"}
            yield replace(point, quality_ours=ours, quality_peer=theirs, facts=facts)


@torch.inference_mode()
def anchor_points(name: str, lengths: Sequence[int], best: bool) -> Iterator[Point]:
    method = Anchor()
    for length in lengths:
        calls = tensors(length, tuple(range(30)) if length == 8192 else SPREAD if length < 8192 else EARLY)
        chosen = at_recall(calls, method)
        sparse = Anchor(theta=chosen.theta)
        peer = "our dense kernel" if best else "torch SDPA"
        at = f"{length} tokens, {len(calls)} layers{'' if length <= 8192 else ' (raw tensors)'}, theta {chosen.theta:g}"
        facts = {"density": chosen.density, "densest_layer": chosen.densest, "path": attention_path()}
        for point in prefill.points(name, at, calls, lambda inputs: sparse.attend(inputs, Memory()), [peer]):  # noqa: B023
            yield replace(point, quality_ours=chosen.recall, quality_peer=1.0, facts=facts)


BENCHMARKS = [
    Benchmark(
        "dense-prefill-8k",
        "our dense causal attention on SmolLM2's tensors at 2k and 8k tokens, against torch SDPA",
        partial(dense_points, "dense-prefill-8k", (8192, 2048)),
    ),
    *(
        Benchmark(
            f"{name}{'-best' if best else ''}",
            f"anchor attention at a mean recall of {RECALL} on SmolLM2's tensors, {what}, against "
            + ("our dense kernel" if best else "torch SDPA"),
            partial(anchor_points, f"{name}{'-best' if best else ''}", lengths, best),
        )
        for name, what, lengths, sides in (
            ("anchor-prefill-8k", "2k to 8k tokens", (8192, 4096, 2048), (False, True)),
            ("anchor-prefill", "16k and 32k tokens", (32768, 16384), (False, True)),
        )
        for best in sides
    ),
]
