"""Interpolation around feedback (Li et al. 2022, arXiv 2205.00235): a sparse list mixed in before and after."""

from collections.abc import Sequence
from itertools import product
from typing import Literal

from fewer.claims.claim import Claim, Setting
from fewer.compare.item_rules import AheadByItem, Contest, FirstInMost, item_difference
from fewer.compare.result import Results
from fewer.compare.rules import Judgement, Rule, all_of
from fewer.core import Method
from fewer.data.obtain import known, on_this_machine
from fewer.data.places import Places
from fewer.measure.statistics import Interval
from fewer.retrieval.feedback.arms import Fusion, InterpolatedFeedback, Search
from fewer.retrieval.feedback.prf_interpolation import PLACES
from fewer.retrieval.feedback.task import MEASURES, FeedbackTask

FIXED = 0.5
"""The paper's weight. Arms without `@0.5` have theirs chosen on one half of the queries for the other."""
PUBLISHED = {"average": 0.03, "rocchio": 0.05}
"""The published depths, 3 and 5, as shares of the 100 documents that feedback is selected from."""
FEEDBACKS: tuple[Literal["average", "rocchio"], ...] = ("average", "rocchio")


def arms() -> dict[str, Method]:
    """Either side, their fusion, four places to interpolate, random feedback, and a sparse list that says nothing."""
    found: dict[str, Method] = {
        "dense": Search(side="dense"),
        "sparse": Search(side="sparse"),
        "fusion": Fusion(),
        f"fusion@{FIXED}": Fusion(FIXED),
    }
    for feedback, place in product(FEEDBACKS, PLACES):
        found[f"{feedback}-{place}"] = InterpolatedFeedback(feedback, place)
        if place != "none":
            found[f"{feedback}-{place}@{FIXED}"] = InterpolatedFeedback(feedback, place, FIXED)
    for name, of in TWINS.items():
        found[name] = found[of].random_twin()
    for feedback in FEEDBACKS:
        found[f"permuted:{feedback}-after"] = InterpolatedFeedback(feedback, "after").permuted()
        found[f"permuted:{feedback}-after@{FIXED}"] = InterpolatedFeedback(feedback, "after", FIXED).permuted()
    return found


TWINS = {
    "random": "rocchio-both",
    "random:rocchio-none": "rocchio-none",
    "random:average-both": "average-both",
    "random:average-none": "average-none",
}


def rule(setting: Setting) -> Rule:
    """For both feedbacks at their published depth, on each collection, all by MAP with chosen weights.

    Interpolated before and after is not below feedback alone and above fusion alone; first, or within noise of first, in most
    of the contests over all measures; real feedback is above random; random feedback and a permuted sparse list lose to no
    feedback at all.
    """
    task = setting.task()
    assert isinstance(task, FeedbackTask)
    cells = [(f, c) for f in FEEDBACKS if PUBLISHED[f] in setting.budgets for c in task.collections]
    parts: list[Rule] = []
    for feedback, collection in cells:
        at, by, both = PUBLISHED[feedback], f"map:{collection}", f"{feedback}-both"
        twin = {of: name for name, of in TWINS.items()}
        parts += [
            AheadByItem(by, both, f"{feedback}-none", at, or_equal=True),
            AheadByItem(by, both, "fusion", at),
            AheadByItem(by, f"{feedback}-none", twin[f"{feedback}-none"], at),
            AheadByItem(by, both, twin[both], at),
            AheadByItem(by, "dense", twin[f"{feedback}-none"], at),
            AheadByItem(by, "dense", f"permuted:{feedback}-after", at),
        ]
    contests = tuple(
        Contest(f"{m}:{c}", f"{f}-both", tuple(f"{f}-{p}" for p in PLACES if p != "both"), PUBLISHED[f])
        for (f, c), m in product(cells, MEASURES)
    )
    return all_of(*parts, FirstInMost(contests))


def judge(results: Results, judged: Judgement) -> Judgement:
    """Says how much of the rule holds."""
    held = sum(line.endswith("-> confirmed") for line in judged.text.split("\n"))
    parts = sum(" -> " in line for line in judged.text.split("\n"))
    return judged._replace(text=f"{judged.text}\n{held} of {parts} parts confirmed")


def findings(results: Results) -> list[str]:
    """The means of all places, the weights, and the paper's fixed weight."""
    lines = []
    collections = [m.removeprefix("map:") for m in results.rows[0].detail["items"] if m.startswith("map:")]
    for collection in collections:
        lines.append(f"{collection}, {' / '.join(MEASURES)}:")
        for arm, budget in _shown(results):
            suffix = f":{collection}" if len(collections) > 1 else ""
            means = " / ".join(f"{results.summary(arm, budget, m + suffix).mean:.3f}" for m in MEASURES)
            weights = [
                r.detail["facts"][name]
                for r in results.of(arm, budget)
                if (name := f"weight:{collection}") in r.detail["facts"]
            ]
            weight = f", weight {sum(weights) / len(weights):.2f}" if weights else ""
            lines.append(f"{arm} at density {budget:g}: {means}{weight}")
    return lines


def _shown(results: Results) -> list[tuple[str, float]]:
    """Arms without feedback once, the others at the published depth."""
    found = []
    for name in results.arms:
        feedback = next((f for f in FEEDBACKS if f in name or (name == "random" and f == "rocchio")), None)
        if feedback is None:
            found.append((name, 1.0))
        elif PUBLISHED[feedback] in results.budgets:
            found.append((name, PUBLISHED[feedback]))
    return found


def versus(results: Results, arm: str, other: str, budget: float) -> Interval:
    """MAP over the queries of all collections, by paired bootstrap."""
    measures = [m for m in results.rows[0].detail["items"] if m.startswith("map:")]
    return item_difference(results, arm, other, budget, measures)


def collections() -> tuple[str, ...]:
    """Cranfield and CISI where this machine has them, else known-item search in Python's docstrings, one answer a query."""
    names = ("cranfield", "cisi")
    places = Places.find()
    return names if all(on_this_machine(known(name), places, []) for name in names) else ("python-docstrings",)


def shared(limit: int = 300) -> FeedbackTask:
    """What this machine has."""
    found = collections()
    embedded = found == ("python-docstrings",)
    return FeedbackTask(collections=found, limit=min(limit, 60) if embedded else limit)


def paper() -> FeedbackTask:
    """Encoders on both sides, as in the paper; its passages and judgements cannot be had freely as files."""
    return FeedbackTask(collections=collections(), dense="minilm", sparse="splade-tiny", limit=1000)


def settings(budgets: Sequence[float]) -> dict[str, Setting]:
    """By scale."""
    return {
        "smoke": Setting(lambda: shared(60), budgets=(PUBLISHED["rocchio"],), seeds=3),
        "small": Setting(shared, budgets=budgets, seeds=20),
        "paper": Setting(paper, budgets=budgets, seeds=20),
    }


claim = Claim(
    system="prf-interpolation",
    says="Mixing a sparse list into dense retrieval both before feedback, to choose the documents that the query learns from, "
    "and after it, to finish the ranking, is at least as good as feedback alone and better than fusing the lists without it.",
    paper="interpolation before and after feedback is best on most data sets and metrics, for every dense retriever and both "
    "kinds of sparse representation (arXiv 2205.00235, abstract)",
    arms=arms(),
    settings=settings(tuple(PUBLISHED.values())),
    rule=rule,
    method="rocchio-both",
    at=lambda setting: PUBLISHED["rocchio"],
    twins=TWINS,
    judge=judge,
    beside=findings,
    versus=versus,
)
