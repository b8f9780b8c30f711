"""Greedy decoding of pruned SmolLM2-135M, whole model, one sequence: accelerated and fused, beside torch's dense model.

What fusing gives a dense model is no merit of sparsity: so there is a dense twin that is fused too, and ours without fusing.
"""

import copy
from collections.abc import Iterator
from functools import partial

import torch

from fewer.data.models import load_causal_lm
from fewer.decoding import fuse
from fewer.measure.bandwidth import read_bandwidth
from fewer.measure.benchmark import Benchmark, Point
from fewer.measure.latency import interleaved, ratio
from fewer.weights.accelerate import accelerate
from fewer.weights.accelerate.decoding import Decoding, agreement, greedy
from fewer.weights.prune import prune

PROMPT = "The history of the lighthouse begins with"
TOKENS, TURN, ROUNDS = 64, 16, 12
TORCH, BEST, FUSED = "torch", "the best dense kernel in every layer", "the best dense kernel in every layer, fused"
OURS, PLAIN = "accelerated and fused", "accelerated"
PAIRS = ((OURS, TORCH), (OURS, BEST), (OURS, FUSED), (PLAIN, TORCH))


def points(name: str, density: float, pattern: str) -> Iterator[Point]:
    """Layers alone, then with the embedding and the output head that it is tied to; each beside both dense peers."""
    for embeddings in (False, True):
        model, tokenizer = load_causal_lm("smollm2-135m")
        prune(model.eval(), "magnitude", density=density, pattern=pattern, embeddings=embeddings)
        if embeddings:
            model.tie_weights()
        models = {
            TORCH: model,
            PLAIN: accelerate(copy.deepcopy(model)),
            BEST: accelerate(copy.deepcopy(model), forms=["dense"]),
        }
        models |= {OURS: fuse(copy.deepcopy(models[PLAIN])), FUSED: fuse(copy.deepcopy(models[BEST]))}
        prompt = tokenizer(PROMPT, return_tensors="pt").input_ids
        said = {who: greedy(m, prompt, TOKENS) for who, m in models.items()}
        with torch.inference_mode():
            timed = interleaved({who: Decoding(m, prompt, TURN) for who, m in models.items()}, ROUNDS)
        moved = sum(choice.bytes for choice in models[PLAIN].acceleration.choices)
        dense = sum(choice.dense_bytes for choice in models[PLAIN].acceleration.choices)
        for ours, peer in PAIRS:
            found, seconds = ratio(timed[peer], timed[ours]), timed[ours].median / TURN
            yield Point(
                name,
                f"{'all weights' if embeddings else 'all but embedding and head'}, {ours}, seconds a token",
                seconds,
                timed[peer].median / TURN,
                peer,
                found.mean,
                found.low,
                found.high,
                quality_ours=agreement(said[ours], said[TORCH]),
                quality_peer=agreement(said[peer], said[TORCH]),
                limit_share=moved / seconds / read_bandwidth(),
                limit=f"memory bandwidth for the weights, {moved / dense:.2f} of the dense bytes",
            )


BENCHMARKS = [
    Benchmark(
        name,
        f"greedy decoding of SmolLM2-135M at {what}, accelerated and fused, against dense models",
        partial(points, name, *at),
    )
    for name, what, at in (
        ("decode-2to4", "2:4", (0.5, "2:4")),
        ("decode-80", "80% unstructured sparsity", (0.2, "row")),
    )
]
