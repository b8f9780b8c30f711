"""MAP, nDCG@k and recall@k straight from score arrays: what `evaluation` says of the same lists, without a dictionary.

For sweeps that judge hundreds of lists; a test holds each to trec_eval.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64, Int64

from fewer.retrieval.feedback.ranking import Ranking


class Judgements:
    """Graded judgements of some queries over numbered documents."""

    def __init__(self, queries: Sequence[str], documents: Sequence[str], qrels: Mapping[str, Mapping[str, int]]) -> None:
        number = {name: place for place, name in enumerate(documents)}
        self.grades: Int64[np.ndarray, "queries documents"] = np.zeros((len(queries), len(documents)), np.int64)
        for row, query in enumerate(queries):
            for document, grade in qrels[query].items():
                if document in number:
                    self.grades[row, number[document]] = max(grade, 0)
        self.relevant = np.array([sum(g > 0 for g in qrels[query].values()) for query in queries])
        self.ideal = [sorted((max(g, 0) for g in qrels[query].values()), reverse=True) for query in queries]

    def average_precision(self, found: Ranking) -> Float64[np.ndarray, " queries"]:
        """Mean over the relevant documents of the precision where each is found; 0 for one that is not."""
        hit = self._gains(found) > 0
        precision = np.cumsum(hit, axis=1) / np.arange(1, hit.shape[1] + 1)
        return np.where(hit, precision, 0).sum(axis=1) / np.maximum(self.relevant, 1)

    def ndcg(self, found: Ranking, depth: int = 10) -> Float64[np.ndarray, " queries"]:
        """Sum of grade / log2(rank + 1) over the first `depth`, as a share of the best possible."""
        discount = 1 / np.log2(np.arange(2, depth + 2))
        gains = self._gains(found.top(depth))
        best = np.array([float(np.dot(ideal[:depth], discount[: len(ideal)])) for ideal in self.ideal])
        return (gains * discount[: gains.shape[1]]).sum(axis=1) / np.where(best > 0, best, 1)

    def recall(self, found: Ranking, depth: int = 100) -> Float64[np.ndarray, " queries"]:
        """Share of the relevant documents among the first `depth`."""
        return (self._gains(found.top(depth)) > 0).sum(axis=1) / np.maximum(self.relevant, 1)

    def _gains(self, found: Ranking) -> Int64[np.ndarray, "queries depth"]:
        return np.where(found.there, np.take_along_axis(self.grades, np.maximum(found.documents, 0), axis=1), 0)
