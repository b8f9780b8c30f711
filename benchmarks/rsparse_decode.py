"""Greedy decoding of SmolLM2-135M with half of the inputs skipped, whole model, one sequence, beside its dense self.

All linear layers but the output head are sparse. The head (a fifth of the bytes) is dense on all sides: torch's own product
in the peer "torch", our dense kernel in ours and in the other peers, where that is faster. Ours is fused, and so is the last
peer: what sparsity gives is the ratio to that one. Quality is the share of held-out tokens after which the likeliest next one
is the dense model's, with every token sparse.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fewer.activations import r_sparse, teal
from fewer.activations.kept_inputs import measure_inputs
from fewer.activations.report import on_all_tokens
from fewer.data import text
from fewer.data.models import load_causal_lm
from fewer.decoding import fuse
from fewer.measure.bandwidth import read_bandwidth
from fewer.measure.benchmark import Benchmark, Point
from fewer.measure.latency import interleaved, ratio
from fewer.measure.quality import windows
from fewer.weights.accelerate import accelerate
from fewer.weights.accelerate.decoding import Decoding

NAME = "rsparse-decode"
PROMPT = "The history of the lighthouse begins with"
TURN, ROUNDS = 16, 12
SPARSITY = 0.5
TORCH, BEST, FUSED = "torch", "the best dense kernel in every layer", "the best dense kernel in every layer, fused"
WAYS: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "r-sparse, rho .95": (r_sparse, {}),
    "r-sparse, rho 1": (r_sparse, {"rho": 1.0}),
    "r-sparse, rho 1, layers of one input together": (r_sparse, {"rho": 1.0, "together": True}),
    "teal": (teal, {}),
}


def points() -> Iterator[Point]:
    """Each way beside both dense peers."""
    model, tokenizer = load_causal_lm("smollm2-135m")
    calibration, test = (
        windows(tokenizer(words, return_tensors="pt", verbose=False, add_special_tokens=False).input_ids[0], 512, count)
        for words, count in ((text.default_text("calibration").text[:60_000], 8), (text.default_text("test").text[:20_000], 2))
    )
    best = accelerate(copy.deepcopy(model), forms=["dense"])
    fused = fuse(copy.deepcopy(best))
    prompt = tokenizer(PROMPT, return_tensors="pt").input_ids
    likeliest = _likeliest(model, test)
    head = model.get_output_embeddings().weight.nbytes  # type: ignore[union-attr, operator]
    for way, (sparsify, settings) in WAYS.items():
        ours = fuse(accelerate(sparsify(copy.deepcopy(model), SPARSITY, calibration, **settings), forms=["dense"]))
        models = {TORCH: model, "ours": ours, BEST: best, FUSED: fused}
        with torch.inference_mode():
            timed = interleaved({who: Decoding(m, prompt, TURN) for who, m in models.items()}, ROUNDS)
        seconds = timed["ours"].median / TURN
        kept = measure_inputs(ours, test).touched
        dense = ours.input_sparsity.weights * 4 + head
        moved = kept * ours.input_sparsity.weights * 4 + head
        with on_all_tokens(ours):
            same = float((_likeliest(ours, test) == likeliest).float().mean())
        for peer in (TORCH, BEST, FUSED):
            found = ratio(timed[peer], timed["ours"])
            yield Point(
                NAME,
                f"{way}, all layers but the head, fused, seconds a token",
                seconds,
                timed[peer].median / TURN,
                peer,
                found.mean,
                found.low,
                found.high,
                quality_ours=same,
                quality_peer=1.0,
                limit_share=moved / seconds / read_bandwidth(),
                limit=f"memory bandwidth for the weights, {moved / dense:.2f} of the dense bytes",
                facts={"touched": kept, "extra_bytes": float(ours.input_sparsity.extra_bytes)},
            )


@torch.inference_mode()
def _likeliest(model: Any, ids: Tensor) -> Tensor:
    return torch.cat([model(input_ids=window, use_cache=False).logits.argmax(-1) for window in ids.split(1)])


BENCHMARKS = [
    Benchmark(NAME, "greedy decoding of SmolLM2-135M at 50% of the inputs of every layer but the head, against dense", points)
]
