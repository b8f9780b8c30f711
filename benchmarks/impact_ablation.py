"""What each idea in ImpactIndex is worth: the index without it, tuned anew for the same recall, beside the whole one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from fewer_benchmarks.peers.side_by_side import exact_answers, interleaved_queries, ratio_interval

from fewer.measure.benchmark import Benchmark, Point
from fewer.retrieval.collections.collection import SearchCollection
from fewer.retrieval.collections.docstrings import docstrings
from fewer.retrieval.collections.synthetic import synthetic
from fewer.retrieval.index.impact import ImpactHow, ImpactIndex
from fewer.retrieval.index.tuning import Measured, found_share, measure, searches

K = 10
RECALLS = (0.90, 0.99)


def _same(how: ImpactHow) -> ImpactHow:
    return how


@dataclass(frozen=True)
class Without:
    """An index that lacks one idea."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    """For the build."""
    how: Callable[[ImpactHow], ImpactHow] = _same
    """What becomes of each setting of the ladder."""


WHOLE = Without("everything")
VARIANTS = (
    Without("without rows of bytes for common terms", {"row": 2.0}),
    Without("without the cut: every posting counted", how=lambda how: replace(how, cut=0.0)),
    Without("without gamma: every candidate scored", how=lambda how: replace(how, gamma=0.0)),
    Without("gamma 0.7", how=lambda how: replace(how, gamma=0.7)),
    Without("chunks of 16,384, whose counters fit the first cache", {"chunk": 16_384}),
    Without("values of 32 bits", {"values": "float32"}),
    Without("values of 8 bits", {"values": "uint8"}),
)


def run() -> Iterator[Point]:
    """A point for each idea, collection and recall: peer = without it, so a ratio above 1 says that it pays."""
    for make in (docstrings, partial(synthetic, 500_000)):
        collection = make()
        truth = exact_answers(collection)
        half = len(collection.tuning)
        whole = _ladder(collection, truth[:half], WHOLE)
        for variant in VARIANTS:
            lacking = _ladder(collection, truth[:half], variant)
            for recall in RECALLS:
                yield _point(collection, truth[half:], variant, _fastest(whole, recall), _fastest(lacking, recall), recall)


def _ladder(collection: SearchCollection, truth: np.ndarray, variant: Without) -> list[Measured]:
    index = ImpactIndex.build(collection.documents, **variant.options)
    tuning = collection.tuning
    single = [tuning[row : row + 1] for row in range(len(tuning))]
    hows = dict.fromkeys(variant.how(how) for how in index.ladder())
    return [measure(index, how, single, truth) for how in hows]


def _fastest(measured: list[Measured], recall: float) -> Measured:
    """That reaches it, or else the one that finds most."""
    enough = [m for m in measured if m.recall >= recall]
    return min(enough, key=lambda m: m.mean) if enough else max(measured, key=lambda m: m.recall)


def _point(
    collection: SearchCollection, truth: np.ndarray, variant: Without, whole: Measured, lacking: Measured, recall: float
) -> Point:
    held = collection.held_out
    single = [held[row : row + 1] for row in range(len(held))]
    times = interleaved_queries({name: searches(m.index, m.how, single, K)[0] for name, m in (("a", whole), ("b", lacking))}, 3)
    low, high = ratio_interval(times["b"], times["a"])
    ours, theirs = (float(found_share(m.index.search(held, K, m.how).documents, truth).mean()) for m in (whole, lacking))
    mean, peer = float(times["a"].mean()), float(times["b"].mean())
    facts: dict[str, float | str] = {
        "bytes_ours": whole.index.bytes / len(whole.index),
        "bytes_peer": lacking.index.bytes / len(lacking.index),
        "setting_ours": str(whole.how),
        "setting_peer": str(lacking.how),
    }
    at = f"{collection.name}, recall {recall:g}"
    return Point("impact-ablation", at, mean, peer, variant.name, peer / mean, low, high, ours, theirs, facts=facts)


BENCHMARKS = [Benchmark("impact-ablation", "What each idea in ImpactIndex is worth at recalls of .90 and .99", run)]
