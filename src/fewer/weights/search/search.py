"""Random search: draw candidates, score them, keep the best (Farahani 2024, arXiv 2403.08265)."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Generic, NamedTuple

from fewer.compare.store import Store, key_of
from fewer.compare.task import Measurement
from fewer.core.one_thread import one_thread
from fewer.errors import BudgetError, MethodError
from fewer.weights.search.budget import Flops, Samples, spending
from fewer.weights.search.crew import Where, evaluated, hire
from fewer.weights.search.evaluation import Candidate, Evaluation, Job, Objective, Sampler
from fewer.weights.search.fingerprint import fingerprint

Progress = Callable[[int, int | None, float], None]
"""Called with samples done, samples in all (None where FLOPs are the budget) and the best score so far."""


class Found(NamedTuple, Generic[Candidate]):
    """What a search came to."""

    winner: Candidate
    """The candidate of lowest score; the first of them where several have it."""
    score: float
    """The winner's."""
    sample: int
    """The winner's number."""
    control: Candidate
    """Sample 0: what no search at all would have given. Compare the winner with this one."""
    loser: Candidate | None
    """The candidate of highest score, the first of them; None where evaluations were cut short."""
    scores: list[float]
    """Of every sample; a lower bound where its evaluation was cut short."""
    evaluations: int
    """Samples evaluated, the cut ones too."""
    cut: int
    """Evaluations that were cut short."""
    multiply_adds: int
    """Of all evaluations, one for each use of a kept weight."""
    seconds: float
    """Wall-clock time of the call."""


def random_search(
    parent: Any,
    sampler: Sampler[Candidate],
    objective: Objective,
    budget: int | Samples | Flops,
    *,
    seed: int = 0,
    patience: int | None = None,
    cut: bool = False,
    wave: int = 32,
    workers: int = 1,
    executor: Where = "processes",
    retries: int = 2,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> Found[Candidate]:
    """The best of many random candidates: what any other search has to beat with as many evaluations.

    Sample b is drawn from (seed, b) alone, and what is cut depends on whole waves, so that everything but `seconds` is the
    same for any number and kind of workers.

    Args:
        parent: what samples are drawn from, such as a network; it is not changed.
        sampler: draws a candidate, such as `NodeSampler(0.1)`, `WeightSampler(0.5, "block:4x4")`, or anything with `draw`.
        objective: scores a candidate, lower is better, such as `Loss(inputs, labels)`, or anything with `bounds`.
        budget: how many samples, or how many `Flops`.
        patience: stop after so many samples in a row without a better one.
        cut: leave an evaluation as soon as it can no longer win. The winner is the same, its loser stays unknown. It takes
            an objective with several bounds to save anything.
        wave: samples between two looks at the best score; give a multiple of the workers.
        workers: how many evaluate at once, each with one thread. More than one take seconds to start as processes.
        executor: "processes", "threads" or "ray".
        retries: how often a sample is tried again, by itself, when its worker dies.
        folder: where finished scores are kept, so that a search that is cut off (it loses the wave that runs), or is
            given a larger budget, goes on.
        progress: called after every wave.

    Raises:
        BudgetError: no samples, or fewer FLOPs than the first one takes.
        MethodError: a patience, wave, number of workers or of retries below 1, or an unknown executor.
        SearchError: a sample that could not be evaluated.
        ScoreError: a score that is not finite.
        StoreError: `folder` cannot be written, or what is searched cannot be recognised again.
        MissingExtraError: Ray is asked for and not installed.
    """
    began = time.perf_counter()
    budget = spending(budget)
    for name, value in (("patience", patience), ("wave", wave), ("retries", retries)):
        if value is not None and value < 1:
            raise MethodError(f"{name} must be at least 1, not {value}.")
    job = Job(parent, sampler, objective, seed)
    taken: list[Evaluation] = []
    best, spent = 0, 0
    with ExitStack() as stack:
        store = None if folder is None else stack.enter_context(Store(folder))
        asked = "" if store is None else fingerprint(parent, sampler, objective, seed, wave if cut else None)
        crew = hire(job, workers, executor)
        stack.callback(crew.close)
        stack.enter_context(one_thread())
        for samples in _waves(wave, budget.most):
            bar = taken[best].score if taken and cut else float("inf")
            known = {} if store is None else _known(store, asked, samples)
            fresh = evaluated(crew, [s for s in samples if s not in known], bar, workers, retries)
            over = False
            for sample in samples:
                evaluation = known.get(sample) or next(fresh)
                if store is not None and sample not in known:
                    _keep(store, asked, evaluation)
                over = over or not budget.allows(len(taken) + 1, spent + evaluation.multiply_adds)
                if over:
                    continue  # the rest of the wave is kept in the folder all the same
                taken.append(evaluation)
                spent += evaluation.multiply_adds
                if evaluation.exact and evaluation.score < taken[best].score:
                    best = sample
                over = patience is not None and sample - best >= patience
            if progress is not None and taken:
                progress(len(taken), budget.most, taken[best].score)
            if over:
                break
    if not taken:
        raise BudgetError(f"{budget} is less than one evaluation takes. Give more, or score on fewer samples.")
    worst = max(taken, key=lambda e: e.score)
    exact = all(e.exact for e in taken)
    return Found(
        winner=sampler.draw(parent, seed, best),
        score=taken[best].score,
        sample=best,
        control=sampler.draw(parent, seed, 0),
        loser=sampler.draw(parent, seed, worst.sample) if exact else None,
        scores=[e.score for e in taken],
        evaluations=len(taken),
        cut=sum(not e.exact for e in taken),
        multiply_adds=spent,
        seconds=time.perf_counter() - began,
    )


def _waves(size: int, most: int | None) -> Iterator[range]:
    for start in count(0, size):
        if most is not None and start >= most:
            return
        yield range(start, start + size if most is None else min(start + size, most))


def _cell(asked: str, sample: int) -> str:
    return key_of({"search": asked, "sample": sample})


def _known(store: Store, asked: str, samples: Sequence[int]) -> dict[int, Evaluation]:
    """Evaluations that the folder holds already."""
    found = {}
    for sample in samples:
        if kept := store.get(_cell(asked, sample)):
            measured = kept[0]
            found[sample] = Evaluation(
                sample, measured.quality["score"], int(measured.cost["multiply_adds"]), measured.detail["exact"]
            )
    return found


def _keep(store: Store, asked: str, evaluation: Evaluation) -> None:
    measured = Measurement(
        {"score": evaluation.score},
        {"multiply_adds": evaluation.multiply_adds},
        {"sample": evaluation.sample, "exact": evaluation.exact},
    )
    store.put(_cell(asked, evaluation.sample), measured, 0.0)
