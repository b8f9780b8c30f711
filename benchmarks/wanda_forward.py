"""Pruning SmolLM2-135M with Wanda beside the bare forward passes over the same tokens."""

from collections.abc import Iterator

import torch

from fewer.data.models import load_causal_lm
from fewer.measure.benchmark import Benchmark, Point, pair
from fewer.measure.memory import held_bytes, peak_memory
from fewer.weights.calibration import draw_tokens, text_of
from fewer.weights.prune import prune

SEQUENCES, LENGTH = 16, 512


def run() -> Iterator[Point]:
    """Time in both modes of the walk, and peak memory in multiples of the model's own (ours: pruning; peer: the forward)."""
    model, tokenizer = load_causal_lm("smollm2-135m")
    dense = [p.detach().clone() for p in model.parameters()]
    tokens = draw_tokens(tokenizer, text_of(None, "calibration")[1], SEQUENCES, LENGTH, seed=0)
    size = f"{SEQUENCES} x {LENGTH} tokens"

    def forwards(passes: int = 1) -> None:
        with torch.inference_mode():
            for _ in range(passes):
                for sequence in tokens.split(1):
                    model(sequence)

    def wanda(mode: str) -> None:
        prune(model, "wanda", density=0.5, calibration=tokens, mode=mode)  # type: ignore[arg-type]

    def restore() -> None:
        with torch.no_grad():
            for parameter, original in zip(model.parameters(), dense, strict=True):
                parameter.copy_(original)

    prune(model, "wanda", calibration=tokens[:2, :64])  # imports and first allocations are not the walk's
    restore()
    for mode, passes in (("layer", 1), ("block", 2)):
        yield pair(
            "wanda-forward",
            f"{size}, {mode} mode",
            lambda mode=mode: wanda(mode),
            lambda passes=passes: forwards(passes),
            f"{passes} bare forward pass{'es' if passes > 1 else ''}",
            repeats=3,
            warmup=0,
            limit="the forward itself",
        )
        restore()
    yield _memory(model, size, wanda, forwards)


def _memory(model, size, wanda, forwards) -> Point:
    held = held_bytes(model)
    with peak_memory() as forward:
        forwards()
    with peak_memory() as pruning:
        wanda("layer")
    ours, peer = 1 + pruning.bytes / held, 1 + forward.bytes / held
    return Point(
        "wanda-forward",
        f"{size}, peak memory / the model's",
        ours,
        peer,
        "bare forward pass",
        peer / ours,
        peer / ours,
        peer / ours,
    )


BENCHMARKS = [Benchmark("wanda-forward", "Wanda on SmolLM2-135M against the bare forward: time and peak memory", run)]
