"""How good ranked lists are: the measures of trec_eval through ir-measures, per query and on average, and paired tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np

from fewer.errors import MissingExtraError, RetrievalError
from fewer.measure.statistics import Interval, bootstrap_interval

Run = Mapping[str, Mapping[str, float]]
"""Query id -> document id -> score."""
Qrels = Mapping[str, Mapping[str, int]]
"""Query id -> document id -> relevance."""
MEASURES = ("MAP", "nDCG@10", "recall@100")


@dataclass(frozen=True)
class Evaluation:
    """One run's measures."""

    per_query: Mapping[str, Mapping[str, float]]
    """Measure -> query id -> value, of judged queries alone; 0 for one that the run lacks."""

    @property
    def mean(self) -> dict[str, float]:
        """Measure -> mean over the judged queries."""
        return {measure: fmean(values.values()) for measure, values in self.per_query.items()}


class Difference(NamedTuple):
    """How one run differs from another over the same queries."""

    interval: Interval
    """Mean of the differences and its bootstrap interval over queries."""
    p_value: float
    """Two-sided, by the bootstrap shifted to no difference: how often resampled means lie at least as far from 0."""


def evaluate(run: Run, qrels: Qrels, measures: Sequence[str] = MEASURES) -> Evaluation:
    """Judge a run as trec_eval does; equal scores are ordered by document id.

    Queries of the run without judgements are left out; judged queries that the run lacks count 0.

    Args:
        measures: names of ir-measures (`nDCG@10`, `P(rel=2)@5`, `RR@10`, ...); recall@k is its R@k.

    Raises:
        MissingExtraError: ir-measures is not installed.
        RetrievalError: no judged query, an unknown measure, a score that is not a number, or no query of the run is judged.
    """
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("evaluation needs ir-measures, which is not installed: pip install fewer[search].") from error
    judged = {query: dict(documents) for query, documents in qrels.items() if documents}
    if not judged:
        raise RetrievalError("there are no judgements: evaluation needs queries that have some.")
    if not judged.keys() & run.keys():
        given, known = (", ".join(sorted(names)[:3]) for names in (run, judged))
        raise RetrievalError(f"no query of the run has judgements: it has {given or 'none'}, ...; judged are {known}, ...")
    for query, documents in run.items():
        if any(score != score for score in documents.values()):
            raise RetrievalError(f"query {query} has a score that is not a number.")
    parsed = {}
    for name in measures:
        try:
            parsed[ir_measures.parse_measure(name.replace("recall@", "R@"))] = name
        except (NameError, ValueError, SyntaxError) as error:
            raise RetrievalError(
                f'no measure is called "{name}"; use ir-measures\' names, such as {", ".join(MEASURES)}.'
            ) from error
    values: dict[str, dict[str, float]] = {name: {} for name in measures}
    answers = {query: dict(documents) for query, documents in run.items() if query in judged}
    for found in ir_measures.iter_calc(list(parsed), judged, answers):
        values[parsed[found.measure]][found.query_id] = found.value
    return Evaluation({name: {query: by_query.get(query, 0.0) for query in judged} for name, by_query in values.items()})


def difference(
    ours: Evaluation, theirs: Evaluation, measure: str = "MAP", resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> Difference:
    """Ours - theirs by paired bootstrap over queries.

    Raises:
        RetrievalError: a measure that one of them lacks, or other queries.
    """
    for evaluation in (ours, theirs):
        if measure not in evaluation.per_query:
            raise RetrievalError(f"{measure} was not evaluated; there are: {', '.join(evaluation.per_query)}.")
    a, b = ours.per_query[measure], theirs.per_query[measure]
    if a.keys() != b.keys():
        raise RetrievalError(f"paired tests need the same queries; {len(a.keys() ^ b.keys())} are in one evaluation alone.")
    differences = np.array([a[query] - b[query] for query in a])
    interval = bootstrap_interval(differences.tolist(), resamples=resamples, seed=seed, level=level)
    return Difference(interval, _p_value(differences, resamples, seed))


def _p_value(differences: np.ndarray, resamples: int, seed: int) -> float:
    """Never 0: the sample itself counts as one of the resamples."""
    generator, mean = np.random.default_rng(seed), differences.mean()
    centred = differences - mean
    far, step = 0, max(1, 4_000_000 // len(centred))
    for done in range(0, resamples, step):
        draws = centred[generator.integers(len(centred), size=(min(step, resamples - done), len(centred)))].mean(axis=1)
        far += int((np.abs(draws) >= abs(mean) - 1e-15).sum())
    return (far + 1) / (resamples + 1)
