"""Two ranked lists made one: by a weighted sum of normalised scores, or by ranks alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from fewer.errors import RetrievalError
from fewer.retrieval.feedback.ranking import Ranking

Scores = Float64[np.ndarray, "queries depth"]
Truth = Callable[[Int64[np.ndarray, "queries any"]], Float64[np.ndarray, "queries any"]]
"""The true scores of these documents (where -1: anything), query by query."""
Missing = Literal["minimum", "zero", "true"]


@dataclass(frozen=True)
class Scale:
    """Linear: (score - shift) / stretch, both of each query's own list."""

    shift: Float64[np.ndarray, "queries 1"]
    stretch: Float64[np.ndarray, "queries 1"]

    def of(self, scores: Scores) -> Scores:
        """0 for a list whose scores are all equal: they say nothing."""
        flat = self.stretch <= 0
        return np.where(flat, 0.0, (scores - self.shift) / np.where(flat, 1.0, self.stretch))


def _min_max(given: Ranking) -> Scale:
    low, high = _ends(given)
    return Scale(low, high - low)


def _centred(given: Ranking) -> Scale:
    low, high = _ends(given)
    return Scale((low + high) / 2, high - low)


def _standard(given: Ranking) -> Scale:
    scores, there = given.scores, given.there
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    mean = scores.sum(axis=1, keepdims=True) / count
    spread = np.sqrt(np.where(there, (scores - mean) ** 2, 0).sum(axis=1, keepdims=True) / count)
    differ = (there & (scores != scores[:, :1])).any(axis=1, keepdims=True)
    return Scale(mean, np.where(differ, spread, 0.0))  # rounding must not make a spread of equal scores


def _as_they_are(given: Ranking) -> Scale:
    return Scale(np.zeros((len(given.scores), 1)), np.ones((len(given.scores), 1)))


def _ends(given: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest score: 0 is the lowest of a list that ends before its depth."""
    return given.scores.min(axis=1, keepdims=True), given.scores.max(axis=1, keepdims=True)


NORMALISATIONS: Mapping[str, Callable[[Ranking], Scale]] = MappingProxyType(
    {"min-max": _min_max, "centred": _centred, "z": _standard, "none": _as_they_are}
)
"""By query and by list. min-max: 0 .. 1. centred: -.5 .. .5, as in Pyserini's hybrid searcher. z: mean 0, variance 1
over what was found. Lists of equal scores are all 0."""


@dataclass(frozen=True)
class Interpolation:
    """weight * norm(first) + (1 - weight) * norm(second), over the documents of either list.

    The depth of the lists is part of it: a deeper list has a lower minimum.

    Raises:
        RetrievalError: a weight outside 0 .. 1, or an unknown normalisation or rule for missing documents.
    """

    weight: float = 0.5
    """Of the first list, the sparse one."""
    normalise: str = "min-max"
    """One of `NORMALISATIONS`."""
    missing: Missing = "minimum"
    """What a document gets that stands in one list alone: for the other its minimum there (as Pyserini), zero on the
    normalised scale, or its true score on that list's scale."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise RetrievalError(f"the weight of the sparse list lies from 0 to 1; given: {self.weight}.")
        if self.normalise not in NORMALISATIONS:
            raise RetrievalError(f'no normalisation is called "{self.normalise}"; allowed: {", ".join(NORMALISATIONS)}.')
        if self.missing not in ("minimum", "zero", "true"):
            raise RetrievalError(f'missing documents get their "minimum", "zero" or "true" score; given: "{self.missing}".')

    def fuse(self, first: Ranking, second: Ranking, depth: int, truth: tuple[Truth, Truth] | None = None) -> Ranking:
        """The two lists of each query as one.

        Args:
            truth: for `missing="true"`: who scores documents that are not in the first, and in the second list.

        Raises:
            RetrievalError: different numbers of queries, or nobody to ask for true scores.
        """
        documents, columns = _joined(first, second)
        if self.missing == "true" and truth is None:
            raise RetrievalError('missing="true" needs `truth`: functions that score any document. Or use missing="minimum".')
        total = np.zeros(documents.shape)
        for number, weight in enumerate((self.weight, 1 - self.weight)):
            given, (scores, found) = (first, second)[number], columns[number]
            scale = NORMALISATIONS[self.normalise](given)
            absent = ~found & (documents >= 0)
            if self.missing == "true" and truth is not None and absent.any():
                scores = np.where(absent, truth[number](np.where(absent, documents, -1)), scores)
            elif self.missing == "minimum":
                scores = np.where(absent, _ends(given)[0], scores)
            normal = scale.of(scores)
            total += weight * (np.where(absent, 0.0, normal) if self.missing == "zero" else normal)
        return Ranking.of(documents, total, depth)


def reciprocal_ranks(lists: "tuple[Ranking, ...] | list[Ranking]", depth: int, constant: float = 60.0) -> Ranking:
    """Reciprocal rank fusion (Cormack et al. 2009): the sum over lists of 1 / (constant + rank), ranks from 1.

    Raises:
        RetrievalError: no list, different numbers of queries, or a negative constant.
    """
    if not lists or constant < 0:
        raise RetrievalError(f"fusion by ranks needs a list and a constant of at least 0; given: {len(lists)} and {constant}.")
    fused: Ranking | None = None
    for given in lists:
        gains = 1 / (constant + np.arange(1, given.documents.shape[1] + 1))
        ranked = Ranking(given.documents, np.where(given.there, gains, 0.0))
        if fused is None:
            fused = ranked
        else:
            documents, ((ours, _), (theirs, _)) = _joined(fused, ranked)
            fused = Ranking.of(documents, ours + theirs, documents.shape[1])
    assert fused is not None
    return fused.top(depth)


def _joined(first: Ranking, second: Ranking) -> tuple[np.ndarray, tuple[tuple[np.ndarray, np.ndarray], ...]]:
    """The documents of either list (-1 in gaps); for each list its scores of them (0 where absent), and where it has them."""
    if len(first.documents) != len(second.documents):
        raise RetrievalError(f"only lists of the same queries can be fused: {len(first.documents)}, {len(second.documents)}.")
    width, highest = (
        first.documents.shape[1] + second.documents.shape[1],
        max(one.documents.max(initial=-1) for one in (first, second)),
    )
    return _scattered(first, second, highest + 1) if highest < 2 * width else _merged(first, second)


def _scattered(first: Ranking, second: Ranking, count: int) -> tuple[np.ndarray, tuple[tuple[np.ndarray, np.ndarray], ...]]:
    """By a column for every document: quick where the lists hold most of them."""
    columns = []
    for given in (first, second):
        scores, found = np.zeros((len(given.documents), count + 1)), np.zeros((len(given.documents), count + 1), bool)
        np.put_along_axis(scores, given.documents, given.scores, axis=1)  # -1 is the last column, which is cut off
        np.put_along_axis(found, given.documents, True, axis=1)
        columns.append((scores[:, :-1], found[:, :-1]))
    either = columns[0][1] | columns[1][1]
    return np.where(either, np.arange(count), -1), tuple(columns)


def _merged(first: Ranking, second: Ranking) -> tuple[np.ndarray, tuple[tuple[np.ndarray, np.ndarray], ...]]:
    """By sorting document numbers."""
    documents = np.concatenate([first.documents, second.documents], axis=1)
    belongs = np.concatenate([np.zeros(first.documents.shape, bool), np.ones(second.documents.shape, bool)], axis=1)
    scores = np.concatenate([first.scores, second.scores], axis=1)
    order = np.argsort(documents, axis=1, kind="stable")  # a document of both lists stands twice, the first list's first
    documents, belongs, scores = (np.take_along_axis(a, order, axis=1) for a in (documents, belongs, scores))
    again = np.zeros(documents.shape, bool)
    again[:, 1:] = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    has = [(belongs == side) & (documents >= 0) for side in (False, True)]
    values = [np.where(at, scores, 0.0) for at in has]
    has[1][:, :-1] |= again[:, 1:]
    values[1][:, :-1] += np.where(again, values[1], 0.0)[:, 1:]
    return np.where(again, -1, documents), tuple((v, h & ~again) for v, h in zip(values, has, strict=True))
