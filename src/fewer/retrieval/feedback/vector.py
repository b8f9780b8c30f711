"""Vector feedback (Li et al. 2021, arXiv 2108.11044): the query moves towards the vectors of what it found."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from fewer.errors import RetrievalError
from fewer.retrieval.feedback.vectors import Searched


class Shares(NamedTuple):
    """What a moved query is made of."""

    query: float
    documents: float
    """Divided equally among the feedback documents."""


@dataclass(frozen=True)
class Feedback:
    """How many documents are listened to, and how much."""

    depth: int

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise RetrievalError(f"feedback needs at least 1 document; given: {self.depth}.")

    def shares(self, found: int) -> Shares:
        """For a query that found so many documents, at most `depth`."""
        raise NotImplementedError

    def moved(self, queries: Any, chosen: Int64[np.ndarray, "queries depth"], documents: Searched) -> Any:
        """The queries after feedback from `chosen` (numbers of documents, -1 for none). Without any, a query stays."""
        from scipy.sparse import csr_array

        counts = (chosen >= 0).sum(axis=1)
        shares = [self.shares(int(count)) if count else Shares(1.0, 0.0) for count in counts]
        each = [share.documents / max(int(count), 1) for share, count in zip(shares, counts, strict=True)]
        weights = csr_array(
            (np.repeat(each, counts), chosen[chosen >= 0], np.concatenate([[0], np.cumsum(counts)])),
            shape=(len(chosen), len(documents)),
        )
        return documents.mixed(queries, np.array([share.query for share in shares]), weights)


@dataclass(frozen=True)
class Average(Feedback):
    """q' = mean of the query and its k documents; published with k = 3.

    Equals Rocchio with alpha = 1 / (k + 1) and beta = k / (k + 1), not with halves.
    """

    depth: int = 3

    def shares(self, found: int) -> Shares:
        """See `Feedback`."""
        return Shares(1 / (found + 1), found / (found + 1))


@dataclass(frozen=True)
class Rocchio(Feedback):
    """q' = alpha q + beta mean(e_1 .. e_k); published with k = 5, alpha .4, beta .6. No negative part."""

    depth: int = 5
    alpha: float = 0.4
    beta: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha < 0 or self.beta < 0 or self.alpha + self.beta == 0:
            raise RetrievalError(f"alpha and beta are at least 0, and not both 0; given: {self.alpha} and {self.beta}.")

    def shares(self, found: int) -> Shares:
        """See `Feedback`."""
        return Shares(self.alpha, self.beta)
