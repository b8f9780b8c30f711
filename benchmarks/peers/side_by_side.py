"""One collection, one recall: the peer at its best and ours, chosen on one half of the queries and timed on the other."""

import functools
import gc
import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from fewer_benchmarks.peers import seismic

from fewer.errors import RetrievalError
from fewer.files import write_whole
from fewer.measure.benchmark import Point
from fewer.retrieval.collections.collection import SearchCollection
from fewer.retrieval.index.exact import ExactIndex
from fewer.retrieval.index.index import Index
from fewer.retrieval.index.kinds import kind
from fewer.retrieval.index.tuning import CLOSE, Measured, Tuned, choose, found_share, searches, survey
from fewer.retrieval.vectors import SparseVectors

K = 10
ROUNDS = 5
"""Times that each query is asked; its median counts."""


class PeerSetting(NamedTuple):
    """A way to build and search the peer, as the tuning half found it."""

    build: seismic.Build
    how: seismic.How
    recall: float
    mean: float
    """Seconds a query."""


class Times(NamedTuple):
    """Of one engine over the held-out queries."""

    seconds: np.ndarray
    recall: float

    @property
    def mean(self) -> float:
        return float(self.seconds.mean())

    @property
    def p99(self) -> float:
        return float(np.quantile(self.seconds, 0.99))


@dataclass(frozen=True, eq=False)
class Ground:
    """A collection with its exact answers, and what each side built of it."""

    collection: SearchCollection
    truth: np.ndarray
    """Of all queries."""
    indexes: Sequence[Index]
    build_seconds: Mapping[str, float]
    """Of ours by kind, on one thread."""
    peer: Sequence[PeerSetting]
    """Everything measured."""

    @property
    def half(self) -> int:
        """How many queries are for tuning."""
        return len(self.collection.tuning)

    def best_peer(self, recall: float) -> PeerSetting:
        """The fastest that reaches it on the tuning half; those of its build that are close are timed again, in turns.

        Raises RetrievalError when none does.
        """
        enough = sorted((setting for setting in self.peer if setting.recall >= recall), key=lambda setting: setting.mean)
        if not enough:
            best = max(setting.recall for setting in self.peer)
            raise RetrievalError(f"{seismic.NAME} reaches {best:.4f} at most on {self.collection.name}, below {recall:g}.")
        close = [s for s in enough if s.build == enough[0].build and s.mean < CLOSE * enough[0].mean]
        index = seismic.built(self.collection.documents, enough[0].build).index
        timed = interleaved_queries(
            {str(n): seismic.calls(index, self.collection.tuning, setting.how, K) for n, setting in enumerate(close)}
        )
        return close[min(range(len(close)), key=lambda n: timed[str(n)].mean())]

    @functools.cached_property
    def ours(self) -> Sequence[Measured]:
        """Every setting of every index on the tuning half."""
        return survey(self.indexes, self.collection.tuning, K, self.truth[: self.half])

    def best_ours(self, recall: float) -> Tuned:
        """By the same rule: no margin."""
        return choose(self.ours, self.collection.tuning, recall, errors=0)


@functools.lru_cache(maxsize=3)
def ground(make: Callable[[], SearchCollection], kinds: tuple[str, ...] = ("impact",)) -> Ground:
    """Everything up to the choice; says on standard error what takes long."""
    seismic.module()
    collection = make()
    truth = exact_answers(collection)
    peer = [setting for build in seismic.grid(collection.documents) for setting in measured_peer(collection, truth, build)]
    indexes, seconds = [], {}
    for name in kinds:
        index, seconds[name] = built_alone(name, collection.documents)
        indexes.append(index)
        say(f"{collection.name}: {name} index built in {seconds[name]:.1f} s")
    return Ground(collection, truth, tuple(indexes), seconds, tuple(peer))


def point(name: str, at: str, found: Ground, recall: float) -> Point:
    """Both at their best for that recall, interleaved query by query over the held-out half."""
    theirs, ours = found.best_peer(recall), found.best_ours(recall)
    held, truth = found.collection.held_out, found.truth[found.half :]
    built = seismic.built(found.collection.documents, theirs.build)
    single = [held[row : row + 1] for row in range(len(held))]
    hits = ours.index.search(held, K)
    answers = seismic.found(built.index, held, theirs.how, K)
    times = interleaved_queries(
        {"ours": searches(ours.index, ours.how, single, K)[0], "peer": seismic.calls(built.index, held, theirs.how, K)}
    )
    mine = Times(times["ours"], float(found_share(hits.documents, truth).mean()))
    peer = Times(times["peer"], float(found_share(answers, truth).mean()))
    low, high = ratio_interval(peer.seconds, mine.seconds)
    return Point(
        name,
        at,
        mine.mean,
        peer.mean,
        seismic.NAME,
        peer.mean / mine.mean,
        low,
        high,
        mine.recall,
        peer.recall,
        facts={
            "p99_ours": mine.p99,
            "p99_peer": peer.p99,
            "scored_ours": float(hits.scored.mean()),
            "documents": len(found.collection.documents),
            "queries": len(held),
            "bytes_ours": ours.index.bytes / len(ours.index),
            "bytes_peer": built.bytes / len(ours.index),
            "build_seconds_ours": found.build_seconds[ours.index.kind],
            "build_seconds_peer": built.seconds,
            "setting_ours": f"{ours.index.kind} {ours.how}",
            "setting_peer": f"{theirs.build} {theirs.how}",
        },
    )


def interleaved_queries(engines: Mapping[str, Sequence[Callable[[], Any]]], rounds: int = ROUNDS) -> dict[str, np.ndarray]:
    """Seconds of each engine's calls: query by query each engine in turn, in an order drawn anew; the median of all rounds."""
    rng = random.Random(0)
    order = list(engines)
    count = len(engines[order[0]])
    taken = {name: np.empty((rounds, count)) for name in order}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(-1, rounds):  # one round to warm up
            for number in range(count):
                rng.shuffle(order)
                for name in order:
                    call = engines[name][number]
                    began = time.perf_counter_ns()
                    call()
                    taken[name][turn, number] = (time.perf_counter_ns() - began) / 1e9
    finally:
        if collecting:
            gc.enable()
    return {name: np.median(seconds, axis=0) for name, seconds in taken.items()}


def exact_answers(collection: SearchCollection) -> np.ndarray:
    """The K best documents of every query."""
    say(f"{collection.name}: exact answers of {len(collection.queries):,} queries")
    return ExactIndex.build(collection.documents).search(collection.queries, K).documents


def built_alone(name: str, documents: SparseVectors) -> tuple[Index, float]:
    """An index of ours with default options, and the seconds it took on one thread, compilation not counted."""
    options = {"threads": 1} if "threads" in {field.name for field in fields(kind(name).Options)} else {}
    kind(name).build(documents[:100], **options)
    began = time.perf_counter()
    index = kind(name).build(documents, **options)
    return index, time.perf_counter() - began


def say(text: str) -> None:
    """On standard error."""
    print(text, file=sys.stderr, flush=True)


def measured_peer(collection: SearchCollection, truth: np.ndarray, build: seismic.Build) -> list[PeerSetting]:
    """Every way to search one build; kept beside it, since a grid takes a minute."""
    tuning, wanted = collection.tuning, truth[: len(collection.tuning)]
    note = seismic.place(collection.documents, build).with_suffix(f".{seismic.content(tuning)[:12]}.json")
    if note.exists():
        return [PeerSetting(build, how, *row) for how, row in zip(seismic.SEARCHES, json.loads(note.read_text()), strict=True)]
    built = seismic.built(collection.documents, build)
    say(f"{collection.name}: {seismic.NAME} {asdict(build)}, searched in {len(seismic.SEARCHES)} ways")
    settings = []
    for how in seismic.SEARCHES:
        calls = seismic.calls(built.index, tuning, how, K)
        taken, answers = 0, np.full(wanted.shape, -1, np.int64)
        for number, call in enumerate(calls):
            began = time.perf_counter_ns()
            hits = call()
            taken += time.perf_counter_ns() - began
            answers[number, : len(hits)] = [document for _, document in hits]
        settings.append(PeerSetting(build, how, float(found_share(answers, wanted).mean()), taken / 1e9 / len(calls)))
    write_whole(note, json.dumps([(setting.recall, setting.mean) for setting in settings]))
    return settings


def ratio_interval(peer: np.ndarray, ours: np.ndarray) -> tuple[float, float]:
    """95% of the ratio of means, by a bootstrap over queries."""
    drawn = np.random.default_rng(0).integers(len(ours), size=(2000, len(ours)))
    low, high = np.quantile(peer[drawn].mean(1) / ours[drawn].mean(1), [0.025, 0.975])
    return float(low), float(high)
