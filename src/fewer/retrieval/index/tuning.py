"""The fastest way to search that finds enough: measured on sample queries, chosen, and said in words."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from fewer.errors import RetrievalError
from fewer.retrieval.index.exact import ExactIndex
from fewer.retrieval.index.index import Hits, Index
from fewer.retrieval.index.kinds import kind
from fewer.retrieval.vectors import SparseVectors

CANDIDATES = ("impact", "seismic")
"""Kinds that `best_index` builds."""
CLOSE = 1.25
"""Settings within so many times the fastest first time are timed again, interleaved."""
ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Measured:
    """One index searched in one way."""

    index: Index
    how: Any
    recall: float
    """Mean share of the exact k best that was found."""
    error: float
    """Standard error of that mean over the queries."""
    mean: float
    """Seconds a query on one thread."""
    p99: float
    scored: float
    """Documents scored in full, mean."""
    k: int
    """Documents asked for."""

    def __str__(self) -> str:
        """Everything, on one line."""
        return (
            f"{self.index.kind} {self.how}: recall {self.recall:.4f} +- {self.error:.4f}, mean {self.mean * 1e6:.0f} us, "
            f"99% below {self.p99 * 1e6:.0f} us, {self.scored:,.0f} documents scored"
        )


@dataclass(frozen=True, eq=False)
class Tuned:
    """What was chosen, and what to expect of it on other queries of the same kind."""

    index: Index
    """Its `how` is set."""
    how: Any
    recall: float
    """Expected: the mean over the sample queries."""
    mean: float
    """Expected seconds a query on one thread."""
    p99: float
    why: str
    measured: tuple[Measured, ...]
    """All of them, in the order of the indexes and their ladders."""


def tune(
    indexes: Sequence[Index],
    queries: SparseVectors,
    recall: float = 0.95,
    k: int = 10,
    truth: Int64[np.ndarray, "queries k"] | None = None,
    errors: float = 1.0,
) -> Tuned:
    """Measure every setting of every index's ladder, choose the fastest that reaches `recall`, and set the index to it.

    Args:
        indexes: of the same vectors.
        queries: samples of what will be asked, some hundred; not those that figures are to come from.
        recall: share of the exact k best, mean over queries.
        truth: the exact answers; found with an exact index of the first index's stored vectors when not given.
        errors: the sample's recall must lie so many standard errors above `recall`, since other queries may fare worse.

    Raises:
        RetrievalError: no setting reaches it (the best one is named), or nothing to choose from.
    """
    if not 0 < recall <= 1:
        raise RetrievalError(f"tuning needs a recall above 0, at most 1; given: {recall}.")
    return choose(survey(indexes, queries, k, truth), queries, recall, errors)


def survey(
    indexes: Sequence[Index], queries: SparseVectors, k: int = 10, truth: Int64[np.ndarray, "queries k"] | None = None
) -> tuple[Measured, ...]:
    """Measure every setting of every index's ladder; the arguments are those of `tune`.

    Raises:
        RetrievalError: no index, or fewer than two queries.
    """
    if not indexes or len(queries) < 2:
        raise RetrievalError(
            f"tuning needs an index and at least 2 queries; given: {len(indexes)} indexes, {len(queries)} queries."
        )
    if truth is None:
        truth = ExactIndex.build(indexes[0].vectors()).search(queries, k).documents
    single = [queries[row : row + 1] for row in range(len(queries))]
    return tuple(measure(index, how, single, truth) for index in indexes for how in index.ladder())


def choose(measured: Sequence[Measured], queries: SparseVectors, recall: float, errors: float = 1.0) -> Tuned:
    """The fastest of what `survey` measured on these queries that reaches `recall`; its index is set to it.

    Raises:
        RetrievalError: no setting reaches it; the best one is named.
    """
    enough = [m for m in measured if m.recall >= min(recall + errors * m.error, 1.0)]
    if not enough:
        best = max(measured, key=lambda m: m.recall)
        raise RetrievalError(
            f"no setting reaches a recall of {recall:g} by {errors:g} standard errors on these {len(queries)} queries; "
            f"the best is {best}. Ask for less, give more queries, or use an exact index."
        )
    chosen = _fastest(enough, [queries[row : row + 1] for row in range(len(queries))])
    # An index does not change, except in how it is searched when nobody says.
    object.__setattr__(chosen.index, "how", chosen.how)
    why = (
        f"{chosen}: the fastest of {len(enough)} settings that reach {recall:g} by {errors:g} standard errors, "
        f"of {len(measured)} measured on {len(queries)} queries."
    )
    for index in {id(m.index): m.index for m in measured}.values():
        if index is not chosen.index:
            times = [m.mean for m in enough if m.index is index]
            why += f" {index.kind}: " + (f"{min(times) * 1e6:.0f} us at best." if times else "no setting reaches it.")
    return Tuned(chosen.index, chosen.how, chosen.recall, chosen.mean, chosen.p99, why, tuple(measured))


def best_index(
    vectors: SparseVectors,
    queries: SparseVectors,
    recall: float = 0.95,
    k: int = 10,
    kinds: Sequence[str] = CANDIDATES,
) -> Tuned:
    """Build an index of each kind, tune them together, and keep the one that is fastest at that recall.

    Raises:
        RetrievalError: as `tune`, or an unknown kind.
    """
    truth = ExactIndex.build(vectors).search(queries, k).documents
    return tune([kind(name).build(vectors) for name in kinds], queries, recall, k, truth)


def measure(index: Index, how: Any, single: Sequence[SparseVectors], truth: Int64[np.ndarray, "queries k"]) -> Measured:
    """Recall, and one time for each query; `single` are the queries one by one."""
    count, k = truth.shape
    hits = Hits(np.full((count, k), -1, np.int64), np.zeros((count, k), np.float32), np.zeros(count, np.int64))
    times = timed(index, how, single, k, hits)
    shares = found_share(hits.documents, truth)
    error = float(shares.std(ddof=1) / len(shares) ** 0.5)
    return Measured(index, how, float(shares.mean()), error, *_times(times), float(hits.scored.mean()), k)


def found_share(
    documents: Int64[np.ndarray, "queries k"], truth: Int64[np.ndarray, "queries k"]
) -> Float64[np.ndarray, " queries"]:
    """Of each query's true documents (-1 stands for none) the share that is among `documents`; 1 where there is none."""
    present = (documents[:, :, None] == truth[:, None, :]).any(1) & (truth >= 0)
    wanted = (truth >= 0).sum(1)
    return np.where(wanted > 0, present.sum(1) / np.maximum(wanted, 1), 1.0)


def timed(
    index: Index, how: Any, single: Sequence[SparseVectors], k: int, hits: Hits | None = None
) -> Float64[np.ndarray, " queries"]:
    """Seconds of each query, alone, by a searcher that stays; what it finds goes into `hits`."""
    calls, into = searches(index, how, single, k)
    seconds = np.empty(len(calls))
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number, call in enumerate(calls):
            seconds[number] = _seconds(call)
            if hits is not None:
                for whole, one in zip(hits, into, strict=True):
                    whole[number] = one[0]
                into.documents.fill(-1)  # a search leaves what it has no document for
    finally:
        if collecting:
            gc.enable()
    return seconds


def searches(index: Index, how: Any, single: Sequence[SparseVectors], k: int) -> tuple[list[Callable[[], None]], Hits]:
    """One call a query, with one searcher and one place for the answer, which every call overwrites; the searcher has run
    once."""
    searcher = index.searcher(k, how)
    into = Hits(np.full((1, k), -1, np.int64), np.zeros((1, k), np.float32), np.zeros(1, np.int64))
    run = searcher.run
    run(single[0], into)
    return [lambda query=query: run(query, into) for query in single], into  # type: ignore[misc]


def _fastest(enough: Sequence[Measured], single: Sequence[SparseVectors]) -> Measured:
    """The fastest, those that are close to it timed again in turns."""
    limit = CLOSE * min(m.mean for m in enough)
    close = [m for m in enough if m.mean <= limit]
    if len(close) == 1:
        return close[0]
    again = [np.concatenate(rounds) for rounds in zip(*(_round(close, single) for _ in range(ROUNDS)), strict=True)]
    timings = [replace(m, mean=mean, p99=p99) for m, (mean, p99) in zip(close, map(_times, again), strict=True)]
    return min(timings, key=lambda m: m.mean)


def _round(close: Sequence[Measured], single: Sequence[SparseVectors]) -> list[np.ndarray]:
    return [timed(m.index, m.how, single, m.k) for m in close]


def _times(seconds: np.ndarray) -> tuple[float, float]:
    return float(seconds.mean()), float(np.quantile(seconds, 0.99))


def _seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - began) / 1e9
