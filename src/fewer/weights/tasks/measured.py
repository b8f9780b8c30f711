"""What pruning a network costs and saves, measured alike for every task."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewer.core import Selection, Selections
from fewer.core.detect import detect
from fewer.measure.bytes import storage_forms
from fewer.measure.flops import count
from fewer.measure.latency import interleaved
from fewer.measure.memory import held_bytes
from fewer.weights.compact.plan import plan
from fewer.weights.layers import Layer
from fewer.weights.prune import Pruning, Watch
from fewer.weights.pruner import Pruner
from fewer.weights.seen import Seen

BINS = 24


def costs(model: nn.Module, dense: nn.Module, example: Tensor, rounds: int = 5) -> tuple[dict[str, float], dict[str, float]]:
    """Costs of the pruned `model`, and the same numbers as facts for the ten lessons.

    latency_ms: median forward on `example`, interleaved with the dense model's. flops_executed: what the kernels that ran
    multiply in that forward; flops_active: what a kernel that skips every zero would. bytes_saved_file: the weights as
    `fewer.save` writes them; bytes_compact_file: with compress=True, each weight as bits and kept values where that is smaller;
    bytes_smallest: in the most compact exact form of every layer's mask.
    """
    pruning: Pruning = model.fewer  # type: ignore[assignment]
    masks = {name: selection.mask for name, selection in pruning.selections.items()}
    with torch.inference_mode():
        timed = interleaved({"model": lambda: model(example), "dense": lambda: dense(example)}, repeats=rounds, warmup=1)
        flops = count(model, example, masks=masks)
    held = held_bytes(model)
    bits = 8 * next(iter(model.parameters())).element_size()
    compact = plan(model)
    forms = [storage_forms(mask, bits) for mask in masks.values()]
    total = sum(p.numel() for p in {id(p): p for p in model.parameters()}.values())
    found = {
        "latency_ms": timed["model"].median * 1e3,
        "flops_executed": float(flops.executed),
        "flops_active": float(flops.active),
        "bytes_saved_file": float(held),
        "bytes_compact_file": float(held - compact.dense_bytes + compact.stored_bytes),
        "bytes_smallest": float(held + sum(min(f.values()) - f["dense"] for f in forms)),
        "seconds_prune": pruning.seconds,
    }
    kept, size = pruning.selections.kept, pruning.selections.size
    facts = {
        "latency_ms": timed["model"].median * 1e3,
        "latency_ms_dense": timed["dense"].median * 1e3,
        "simulated": float(kept < size),  # a masked weight in a dense product is still multiplied
        "macs_active": flops.active / 2,
        "macs_dense": flops.dense / 2,
        "peak_density": 1.0,
        "r_itop": kept / size,
        "churn": 0.0,
        "nominal_density": kept / size,
        "total_density": (kept + total - size) / total,
    }
    return found, facts


def layer_table(pruning: Pruning, histograms: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of every layer name, shape, density, what the method reports (`error`: squared), and its score histogram where drawn."""
    return [
        {
            "name": layer.name,
            "shape": list(layer.shape),
            "density": layer.density,
            "error": layer.report.get("squared_error"),
            "report": dict(layer.report),
            "histogram": histograms.get(layer.name),
        }
        for layer in pruning.layers
    ]


def detected(selections: Selections) -> dict[str, str]:
    """What pattern each mask turns out to have, by layer."""
    return {name: detect(selection.mask.flatten(1)) for name, selection in selections.items()}


def draw_histograms(pruner: Pruner, names: list[str], into: dict[str, Any]) -> Watch:
    """A watch for `prune` that counts the scores of kept and dropped weights of the layers `names`.

    Scores above zero are counted on a logarithmic scale; `edges` are score values, BINS + 1 of them.
    """

    def watch(layer: Layer, seen: Seen, before: Tensor, after: Tensor, selection: Selection) -> None:
        if layer.name in names:
            into[layer.name] = histogram(pruner.score(before, seen), selection.mask)

    return watch


def histogram(scores: Tensor, kept: Tensor) -> dict[str, list[float]]:
    """Counts of kept and dropped scores in BINS bins between the lowest and the highest positive score."""
    positive = scores[scores > 0]
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 1.0)
    logs = scores.clamp(min=low).log10()
    edges = torch.linspace(float(torch.tensor(low).log10()), float(torch.tensor(high).log10()) + 1e-6, BINS + 1)
    counted: Callable[[Tensor], list[float]] = lambda part: torch.histc(part, BINS, float(edges[0]), float(edges[-1])).tolist()  # noqa: E731
    return {"edges": (10**edges).tolist(), "kept": counted(logs[kept]), "dropped": counted(logs[~kept])}
