"""Greedy decoding of pruned SmolLM2-135M, whole model, one sequence: accelerated beside torch's dense products."""

import copy
from collections.abc import Iterator
from functools import partial

import torch

from fewer.data.models import load_causal_lm
from fewer.measure.bandwidth import read_bandwidth
from fewer.measure.benchmark import Benchmark, Point
from fewer.measure.latency import interleaved, ratio
from fewer.weights.accelerate import accelerate
from fewer.weights.accelerate.decoding import Decoding, agreement, greedy
from fewer.weights.prune import prune

PROMPT = "The history of the lighthouse begins with"
TOKENS, TURN, ROUNDS = 64, 16, 12
BEST = "the best dense kernel in every layer"


def points(name: str, density: float, pattern: str) -> Iterator[Point]:
    """Layers alone, then with the embedding and the output head that it is tied to; each beside both dense peers."""
    for embeddings in (False, True):
        model, tokenizer = load_causal_lm("smollm2-135m")
        prune(model.eval(), "magnitude", density=density, pattern=pattern, embeddings=embeddings)
        if embeddings:
            model.tie_weights()
        models = {
            "torch": model,
            "ours": accelerate(copy.deepcopy(model)),
            BEST: accelerate(copy.deepcopy(model), forms=["dense"]),
        }
        prompt = tokenizer(PROMPT, return_tensors="pt").input_ids
        said = {who: greedy(m, prompt, TOKENS) for who, m in models.items()}
        with torch.inference_mode():
            timed = interleaved({who: Decoding(m, prompt, TURN) for who, m in models.items()}, ROUNDS)
        moved = sum(choice.bytes for choice in models["ours"].acceleration.choices)
        dense = sum(choice.dense_bytes for choice in models["ours"].acceleration.choices)
        seconds = timed["ours"].median / TURN
        for peer in ("torch", BEST):
            found = ratio(timed[peer], timed["ours"])
            yield Point(
                name,
                f"{'all weights' if embeddings else 'all but embedding and head'}, seconds a token",
                seconds,
                timed[peer].median / TURN,
                peer,
                found.mean,
                found.low,
                found.high,
                quality_ours=agreement(said["ours"], said["torch"]),
                quality_peer=agreement(said[peer], said["torch"]),
                limit_share=moved / seconds / read_bandwidth(),
                limit=f"memory bandwidth for the weights, {moved / dense:.2f} of the dense bytes",
            )


BENCHMARKS = [
    Benchmark(name, f"greedy decoding of SmolLM2-135M at {what}, accelerated, against dense models", partial(points, name, *at))
    for name, what, at in (
        ("decode-2to4", "2:4", (0.5, "2:4")),
        ("decode-80", "80% unstructured sparsity", (0.2, "row")),
    )
]
