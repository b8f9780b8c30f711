import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from fewer.errors import RetrievalError
from fewer.retrieval.index.exact import ExactIndex
from fewer.retrieval.index.index import Hits, Index
from fewer.retrieval.index.tuning import found_share, measure, tune
from fewer.retrieval.vectors import SparseVectors

QUERIES = 40
K = 5


@dataclass(frozen=True)
class Known:
    """How the made-up index searches: it takes so long, and finds so many of the first five documents."""

    microseconds: int
    finds: int


@dataclass(eq=False)
class MadeUp(Index):
    """Costs and recall are what a rung says."""

    kind: ClassVar[str] = "made-up"
    How: ClassVar[type] = Known
    rungs: tuple[Known, ...]
    dimension: int = 50
    how: Any = Known(1, 1)

    def __len__(self):
        return 100

    def ladder(self):
        return self.rungs

    def searcher(self, k, how, alive=None):
        return Sleeping(how)

    build = vectors = arrays = settings = from_arrays = None


@dataclass
class Sleeping:
    how: Known

    def run(self, queries: SparseVectors, into: Hits) -> None:
        for row in range(len(queries)):
            until = time.perf_counter() + self.how.microseconds / 1e6
            while time.perf_counter() < until:
                pass
            into.documents[row] = [number if number < self.how.finds else 90 + number for number in range(K)]
            into.scored[row] = self.how.microseconds


@pytest.fixture
def queries():
    return SparseVectors.from_rows([{row: 1.0} for row in range(QUERIES)], 50)


@pytest.fixture
def truth():
    return np.tile(np.arange(K), (QUERIES, 1))


def made_up(*rungs):
    return MadeUp(rungs)


def test_the_fastest_setting_that_reaches_the_recall_is_chosen_among_all_indexes(queries, truth):
    quick = made_up(Known(100, 3), Known(900, 5))
    slow = made_up(Known(200, 3), Known(300, 4), Known(500, 5))
    tuned = tune([quick, slow], queries, 0.8, K, truth)
    assert tuned.index is slow and tuned.how == slow.how == Known(300, 4)
    assert tuned.recall == 0.8 and tuned.mean == pytest.approx(300e-6, rel=0.5)
    assert quick.how == Known(1, 1)
    assert len(tuned.measured) == 5
    assert "made-up Known(microseconds=300, finds=4)" in tuned.why and "of 5 measured on 40 queries" in tuned.why


def test_a_recall_that_nothing_reaches_is_an_error_that_names_the_best(queries, truth):
    with pytest.raises(RetrievalError, match=r"recall of 0.95 .*finds=4.*recall 0.8000"):
        tune([made_up(Known(10, 2), Known(10, 4))], queries, 0.95, K, truth)


def test_the_recall_must_be_reached_by_the_margin(queries, truth):
    half = truth.copy()
    half[::2] += 50  # every other query is answered in full by no setting: mean .5, standard error .08
    index = made_up(Known(10, 5))
    assert tune([index], queries, 0.5, K, half, errors=0).recall == 0.5
    assert tune([index], queries, 0.4, K, half, errors=1).recall == 0.5
    with pytest.raises(RetrievalError):
        tune([index], queries, 0.45, K, half, errors=1)


def test_truth_is_found_from_the_stored_vectors_when_it_is_not_given(queries):
    index = ExactIndex.build(SparseVectors.from_rows([{row % 50: 1.0 + row} for row in range(200)], 50))
    tuned = tune([index], queries, 1.0, 3)
    assert tuned.recall == 1.0 and tuned.index is index


def test_scored_documents_and_times_are_those_of_the_setting(queries, truth):
    single = [queries[row : row + 1] for row in range(QUERIES)]
    found = measure(made_up(), Known(50, 5), single, truth)
    assert found.scored == 50 and found.recall == 1.0 and found.error == 0.0
    assert found.mean >= 50e-6 and found.p99 >= 50e-6


def test_absent_documents_count_neither_as_found_nor_as_missed():
    truth = np.array([[3, 7, -1], [-1, -1, -1], [1, 2, 3]])
    documents = np.array([[7, -1, 9], [-1, -1, -1], [1, 2, 3]])
    assert found_share(documents, truth).tolist() == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("recall", [0.0, 1.5])
def test_a_recall_out_of_range_is_refused(queries, truth, recall):
    with pytest.raises(RetrievalError, match="recall above 0, at most 1"):
        tune([made_up(Known(1, 1))], queries, recall, K, truth)
