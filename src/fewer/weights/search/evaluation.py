"""One evaluation of a search: a sample is drawn from (seed, number), and scored until it is known or can no longer win."""

import math
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from fewer.core.one_thread import one_thread
from fewer.errors import FewerError, ScoreError, SearchError

Candidate = TypeVar("Candidate", covariant=True)


class Sampler(Protocol[Candidate]):
    """Draws candidates. The same seed and sample give the same one, in whatever process and order."""

    def draw(self, parent: Any, seed: int, sample: int) -> Candidate: ...


class Bound(NamedTuple):
    """What is known of a candidate's score at some point of its evaluation."""

    value: float
    """The score is at least this. Lower scores are better."""
    multiply_adds: int
    """Multiply-adds since the evaluation began."""
    exact: bool = True
    """Is this the score itself?"""


class Objective(Protocol):
    """Scores candidates; lower is better. The parent must be left as it was."""

    def bounds(self, parent: Any, candidate: Any) -> Iterator[Bound]:
        """Ever higher bounds of the score; the last one is exact. One that costs little need yield only that."""
        ...


class Evaluation(NamedTuple):
    """What came of one sample."""

    sample: int
    score: float
    """A lower bound of it where the evaluation was cut short."""
    multiply_adds: int
    exact: bool


class Failure(NamedTuple):
    """What went wrong, in a form that any process can hand to another."""

    kind: type[FewerError]
    text: str
    trace: str


class Job(NamedTuple):
    """All that a worker needs."""

    parent: Any
    sampler: Sampler
    objective: Objective
    seed: int

    def run(self, samples: Sequence[int], bar: float) -> list[Evaluation] | Failure:
        """Evaluate `samples`, each no further than shows that its score is not below `bar`. One torch thread."""
        done = []
        with one_thread():
            for sample in samples:
                try:
                    done.append(self._evaluate(sample, bar))
                except FewerError as error:
                    return Failure(type(error), f"sample {sample}: {error}", "")
                except Exception as error:
                    text = f"sample {sample} could not be evaluated: {type(error).__name__}: {error}"
                    return Failure(SearchError, text, traceback.format_exc())
        return done

    def _evaluate(self, sample: int, bar: float) -> Evaluation:
        candidate = self.sampler.draw(self.parent, self.seed, sample)
        for bound in self.objective.bounds(self.parent, candidate):
            if not math.isfinite(bound.value):
                raise ScoreError(
                    f"its score is {bound.value}; scores are finite numbers. Look at the parent's weights and data."
                )
            if bound.exact or bound.value >= bar:
                return Evaluation(sample, bound.value, bound.multiply_adds, bound.exact)
        raise ScoreError(f"{type(self.objective).__name__} ended without an exact score; its last bound must be exact.")
