"""Which kind of index suits a collection, at which setting: measured on it, beside the exhaustive one and a random one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fewer.retrieval.index.exact import ExactIndex
from fewer.retrieval.index.kinds import kind
from fewer.retrieval.index.seismic import SeismicIndex
from fewer.retrieval.index.seismic_options import SeismicHow
from fewer.retrieval.index.tuning import CANDIDATES, Measured, measure, tune
from fewer.retrieval.vectors import SparseVectors

ENOUGH = 1000
"""Documents below which nothing is measured: an exhaustive search takes microseconds there."""
WORTH = 0.8
"""Share of the exhaustive time that a kind which may miss documents must stay below."""
RANDOM = (30, 100, 300, 1000, 3000, 10_000, 30_000)
"""Documents that the random twin scores."""
K = 10


@dataclass(frozen=True)
class Choice:
    """What was chosen, and everything it was chosen from."""

    chosen: Measured
    """On queries that it was not chosen by: what to expect."""
    exact: Measured
    """The exhaustive index on the same queries."""
    series: dict[str, list[Measured]]
    """Kind -> its settings that no other beats in both recall and time; "random": documents scored at random."""
    queries: int

    @property
    def kind(self) -> str:
        """Of the index."""
        return self.chosen.index.kind

    @property
    def how(self) -> Any:
        """How it should be searched."""
        return self.chosen.how

    def says(self, target: float) -> str:
        """The choice and what it expects, in a sentence."""
        ms, exhaustive = self.chosen.mean * 1e3, self.exact.mean * 1e3
        if self.kind == "exact":
            return (
                f"exact, {exhaustive:.3g} ms a query: no other kind reaches recall {target:g} in less than {WORTH:g} of that "
                "on these texts."
            )
        return (
            f"{self.kind}, the fastest that reaches recall {target:g}: expected {ms:.3g} ms a query at "
            f"recall@{K} {self.chosen.recall:.3f}; searching everything takes {exhaustive:.3g} ms."
        )

    def figures(self, target: float) -> dict[str, Any]:
        """As JSON, for a plot."""
        series = [{"name": "exhaustive", "kind": "dense", "points": [self._point(self.exact, self.kind == "exact")]}]
        for name, points in self.series.items():
            shown = [self._point(point, False) for point in points]
            if name == self.kind:
                shown.append(self._point(self.chosen, True))
            series.append({"name": name, "kind": "random" if name == "random" else "method", "points": shown})
        note = (
            f"Mean of {self.queries} queries, first sentences of documents, on one thread. Random: documents scored at random."
        )
        return {"k": K, "says": self.says(target), "note": note, "kind": self.kind, "target": target, "series": series}

    def _point(self, point: Measured, chosen: bool) -> dict[str, Any]:
        return {"recall": point.recall, "ms": point.mean * 1e3, "scored": point.scored, "chosen": chosen}


def choose(vectors: SparseVectors, queries: SparseVectors, recall: float, kinds: Sequence[str] = CANDIDATES) -> Choice:
    """Tune every kind on half of the queries, and measure the fastest that reaches `recall` on the other half.

    The exhaustive index is among them, so that there always is one.
    """
    exact = ExactIndex.build(vectors)
    tried, held = queries[: len(queries) // 2], queries[len(queries) // 2 :]
    truths = [exact.search(part, K).documents for part in (tried, held)]
    single = [held[row : row + 1] for row in range(len(held))]
    indexes = [kind(name).build(vectors) for name in kinds]
    tuned = tune([*indexes, exact], tried, recall, K, truths[0])
    exhaustive = measure(exact, exact.how, single, truths[1])
    chosen = measure(tuned.index, tuned.how, single, truths[1])
    if chosen.mean > WORTH * exhaustive.mean:
        chosen = exhaustive
    series = {index.kind: _front([m for m in tuned.measured if m.index is index]) for index in indexes}
    for index in indexes:
        if isinstance(index, SeismicIndex):
            widest = SeismicHow(query_cut=max(how.query_cut for how in index.ladder()))
            twins = [SeismicHow(widest.query_cut, random_until=n) for n in RANDOM if n < len(vectors)]
            series["random"] = [measure(index, how, single, truths[1]) for how in twins]
    return Choice(chosen, exhaustive, series, len(held))


def _front(points: list[Measured]) -> list[Measured]:
    """Those that no faster one reaches the recall of."""
    kept: list[Measured] = []
    for point in sorted(points, key=lambda p: p.mean):
        if not kept or point.recall > kept[-1].recall:
            kept.append(point)
    return kept
