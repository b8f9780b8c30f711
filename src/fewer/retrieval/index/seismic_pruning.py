"""Static pruning: which postings of each inverted list a Seismic index keeps."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Int32, Int64
from numba import njit

from fewer.retrieval.index.seismic_options import SeismicOptions
from fewer.retrieval.vectors import SparseVectors

T = TypeVar("T")


class Postings(NamedTuple):
    """Inverted lists, each from its largest value to its smallest, of equal ones the lower document first."""

    starts: Int64[np.ndarray, " dimension+1"]
    documents: Int32[np.ndarray, " postings"]


def prune(vectors: SparseVectors, options: SeismicOptions, threads: int = 1) -> Postings:
    """The postings that stay. Memory: 8 bytes an entry of `vectors`, beside the result."""
    chosen, most = np.ones(len(vectors.values), np.bool_), options.n_postings
    if options.pruning == "global":
        chosen, most = largest(vectors, vectors.dimension * most), int(most * options.max_fraction)
    left = np.bincount(vectors.components[chosen], minlength=vectors.dimension)
    counts = np.minimum(left, most)
    random = options.keep == "random"
    if random:
        chosen[:] = True
    sizes = np.bincount(vectors.components, minlength=vectors.dimension) if random else left
    starts, kept = _starts(sizes), _starts(counts)
    keys = np.empty(starts[-1], np.int64)
    _invert(vectors.starts, vectors.components, vectors.values.view(np.int32), chosen, starts[:-1].copy(), keys)
    documents = np.empty(kept[-1], np.int32)

    def settle(component: int) -> None:
        every, count = keys[starts[component] : starts[component + 1]], counts[component]
        if random:
            generator = np.random.default_rng((options.seed, component))
            every = every[generator.permutation(len(every))[:count]]
        every.sort()
        documents[kept[component] : kept[component + 1]] = every[:count] & 0xFFFFFFFF

    def settle_all(part: np.ndarray) -> None:
        for component in part:
            settle(int(component))

    spread(settle_all, np.array_split(np.flatnonzero(counts), threads), threads)
    return Postings(kept, documents)


def largest(vectors: SparseVectors, count: int) -> Bool[np.ndarray, " entries"]:
    """The `count` largest entries of all; of equal ones those of earlier rows."""
    values = vectors.values
    if count >= len(values):
        return np.ones(len(values), np.bool_)
    least = np.partition(values, len(values) - count)[len(values) - count]
    chosen = values > least
    chosen[np.flatnonzero(values == least)[: count - int(chosen.sum())]] = True
    return chosen


def spread(work: Callable[[np.ndarray], T], parts: Iterable[np.ndarray], threads: int) -> list[T]:
    """`work` of every part, in order, by so many threads."""
    if threads == 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


@njit(cache=True, nogil=True)
def _invert(starts, components, bits, chosen, place, keys):
    """A list's keys rise as values fall (the bits of positive floats rise with them), then as documents rise."""
    for row in range(len(starts) - 1):
        for entry in range(starts[row], starts[row + 1]):
            if chosen[entry]:
                component = components[entry]
                keys[place[component]] = ((0x7FFFFFFF - np.int64(bits[entry])) << 32) | row
                place[component] += 1
