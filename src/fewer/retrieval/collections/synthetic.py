"""A made-up collection of any size whose vectors are clustered and concentrated as learned sparse ones are."""

import functools
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32
from numba import njit

from fewer.retrieval.collections.collection import SearchCollection, kept
from fewer.retrieval.vectors import SparseVectors

DIMENSION = 30_000
TOPICS = 2_000
TOPIC_TERMS = 400
QUERIES = 1_000
CHUNK = 10_000
"""Documents of one stream of random numbers."""
ASKED = 50_000
"""Queries are made from the first documents, so that every size has the same ones."""

SHARE, STRAY_SHARE = 0.75, 0.2
"""Terms that come from the topic; the others are drawn from the whole vocabulary."""
SHORTEST, LONGEST = 70, 130
"""Terms drawn for a document, the longer bound left out; a term drawn twice counts once."""
HEAVIEST, STRAYS = 30, 10
"""A query has its document's heaviest terms, and stray ones at 0.3 of their weight."""


def synthetic(documents: int, seed: int = 0, queries: int = QUERIES) -> SearchCollection:
    """`documents` rows of about 97 terms over 2,000 topics, and queries of about 40 made from some of them; kept in the cache.

    A topic is 400 of 30,000 terms, whose popularity falls with rank^-0.9. A document draws three quarters of its terms from
    its topic and the rest by popularity; weights are log-normal (-0.7, 0.8), at most 3.5. A smaller collection
    is the beginning of a larger one of the same seed, and from `ASKED` documents on all have the same queries.
    """

    def make() -> SearchCollection:
        return generate(documents, seed, queries)

    return kept(f"synthetic-{documents}-{queries}-{seed}", make)


def generate(documents: int, seed: int = 0, queries: int = QUERIES) -> SearchCollection:
    """As `synthetic`, made anew: some 10 us a document."""
    topics, cumulative = _topics(seed), np.cumsum(_popularity())
    starts = np.zeros(documents + 1, np.int64)
    components = np.empty(documents * (LONGEST - 1), np.int32)
    values = np.empty(documents * (LONGEST - 1), np.float32)
    for low in range(0, documents, CHUNK):
        stream = np.random.default_rng([seed, 1, low])
        _documents(stream, topics, cumulative, low, min(low + CHUNK, documents), starts, components, values)
    found = SparseVectors(starts, components[: starts[-1]].copy(), values[: starts[-1]].copy(), DIMENSION)
    asked = _queries(np.random.default_rng([seed, 2]), found[:ASKED], topics, cumulative, queries)
    return SearchCollection(f"{documents:,} synthetic", found, asked)


@functools.cache
def _topics(seed: int) -> Int32[np.ndarray, "topics terms"]:
    """Terms of each topic, drawn by popularity without replacement: those of the smallest exponential times of arrival."""
    rng, popularity = np.random.default_rng([seed]), _popularity()
    keys = (rng.exponential(size=DIMENSION) / popularity for _ in range(TOPICS))
    return np.stack([np.argpartition(key, TOPIC_TERMS)[:TOPIC_TERMS] for key in keys]).astype(np.int32)


def _popularity() -> Float64[np.ndarray, " dimension"]:
    weights = 1 / np.arange(1, DIMENSION + 1) ** 0.9
    return weights / weights.sum()


def _queries(
    rng: np.random.Generator, documents: SparseVectors, topics: np.ndarray, cumulative: np.ndarray, count: int
) -> SparseVectors:
    rows = []
    room_c, room_v = np.empty(STRAYS, np.int32), np.empty(STRAYS, np.float32)
    for number in rng.integers(len(documents), size=count):
        stray = _draw(rng, topics[rng.integers(TOPICS)].copy(), cumulative, STRAYS, STRAY_SHARE, room_c, room_v, 0)
        row = {int(c): 0.3 * float(v) for c, v in zip(room_c[:stray], room_v[:stray], strict=True)}
        components, values = documents.row(int(number))
        heaviest = np.argsort(-values, kind="stable")[:HEAVIEST]
        row |= {int(components[i]): float(values[i]) for i in heaviest}
        rows.append(row)
    return SparseVectors.from_rows(rows, DIMENSION)


@njit
def _draw(
    rng: Any,
    topic: np.ndarray,
    cumulative: np.ndarray,
    count: int,
    share: float,
    components: np.ndarray,
    values: np.ndarray,
    at: int,
) -> int:
    """Up to `count` terms with weights, ascending, from place `at` on; how many they are. `topic` is shuffled."""
    drawn = np.empty(count, np.int32)
    own = int(count * share)
    for i in range(own):
        j = rng.integers(i, len(topic))
        topic[i], topic[j] = topic[j], topic[i]
        drawn[i] = topic[i]
    for i in range(own, count):
        drawn[i] = min(np.searchsorted(cumulative, rng.random()), len(cumulative) - 1)
    drawn.sort()
    kept = 0
    for i in range(count):
        if i == 0 or drawn[i] != drawn[i - 1]:
            components[at + kept] = drawn[i]
            values[at + kept] = min(np.exp(-0.7 + 0.8 * rng.standard_normal()), 3.5)
            kept += 1
    return kept


@njit
def _documents(
    rng: Any,
    topics: Int32[np.ndarray, "topics terms"],
    cumulative: Float64[np.ndarray, " dimension"],
    first: int,
    last: int,
    starts: np.ndarray,
    components: np.ndarray,
    values: np.ndarray,
) -> None:
    """Fill rows first .. last."""
    at = starts[first]
    for row in range(first, last):
        topic = topics[rng.integers(0, len(topics))].copy()
        at += _draw(rng, topic, cumulative, rng.integers(SHORTEST, LONGEST), SHARE, components, values, at)
        starts[row + 1] = at
