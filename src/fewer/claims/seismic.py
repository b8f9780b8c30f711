"""Seismic (Bruch et al. 2024, arXiv 2404.18812): blocks of similar documents, skipped by summaries, spare most scoring."""

from fewer.claims.claim import Claim, Setting
from fewer.compare.band_rule import Band
from fewer.compare.result import Results
from fewer.compare.rules import Above, Below, Rule, all_of
from fewer.core import Method
from fewer.retrieval.index.seismic_arms import Exhaustive, RandomOrder, RandomPostings, SeismicSearch, ShuffledBlocks
from fewer.retrieval.index.seismic_task import SPLADE, SeismicTask

HALF = 0.5
"""The global threshold leaves half of all postings."""
ARMS: dict[str, Method] = {
    "dense": Exhaustive(),
    "seismic": SeismicSearch(),
    "random": ShuffledBlocks(),
    "random-order": RandomOrder(),
    "random-postings": RandomPostings(),
    "chunked": SeismicSearch(blocking="chunks"),
    "fixed-summary": SeismicSearch(summary="fixed"),
    "raw": SeismicSearch(vectors="raw"),
    "raw-random": ShuffledBlocks(vectors="raw"),
}
COST = "documents_at_95"


def rule(setting: Setting) -> Rule:
    """At 95% accuracy at most .6 of the documents of random blocks (refuted from 1 / 1.1 on), fewer than chunks, no more than
    fixed summaries to within 5%, under a tenth of exhaustive search; blocks in random order lose 20 points (refuted within 5);
    a larger heap factor gains no accuracy beyond noise."""
    at = tuple(setting.budgets)
    return all_of(
        Band(Below(COST, "seismic", "random", at, 0.6, ratio=True), refuted=1 / 1.1),
        Band(Above("accuracy", "seismic", "random-order", at, -0.2), refuted=-0.05),
        Below(COST, "seismic", "chunked", at, 1.0, ratio=True),
        Below(COST, "seismic", "fixed-summary", at, 1.05, ratio=True),
        Below(COST, "seismic", "dense", at, 0.1, ratio=True),
        Below("largest_rise", "seismic", "dense", at, 0.01),
    )


def findings(results: Results) -> list[str]:
    """What each arm needs, and what its vectors are like."""
    lines = []
    for arm in ("seismic", "random", "random-postings", "chunked", "fixed-summary", "raw", "raw-random"):
        for budget in results.budgets:
            rows = results.of(arm, budget)
            facts = [row.detail["facts"] for row in rows]

            def mean(name: str, facts: list[dict[str, float]] = facts) -> float:
                return sum(one[name] for one in facts) / len(facts)

            best = max(swept["accuracy"] for row in rows for swept in row.detail["swept"])
            costs = [name for name in ("documents_at_90", COST, "documents_at_97") if results.values(arm, budget, name)]
            needs = ", ".join(f"{results.summary(arm, budget, name).mean:.0f} {name.replace('_', ' ')}%" for name in costs)
            lines.append(
                f"{arm}: {needs or 'never at 90%'}; at best {best:.3f}; {mean('postings_kept'):.0%} of the postings kept; "
                f"summaries of {mean('summary_length'):.1f}; half of the entries hold {mean('mass_of_half:documents'):.0%} of "
                f"a document's mass and {mean('mass_of_half:queries'):.0%} of a query's ({mean('entries:documents'):.0f} and "
                f"{mean('entries:queries'):.0f} entries)"
            )
    return lines


claim = Claim(
    system="seismic",
    says="Blocks of similar documents with thinned summaries let a search over learned sparse vectors reach 95% of the exact "
    "top 10 with a small part of the documents scored, fewer than with random or chunked blocks.",
    paper="MS MARCO, Splade: 303 us at 95% accuracy, single thread; 2.6 to 3.6 times faster than the best rival (arXiv "
    "2404.18812 and its repository's tables)",
    arms=ARMS,
    settings={
        "smoke": Setting(lambda: SeismicTask(collection="python-docstrings", documents=1500, queries=60), (HALF,)),
        "small": Setting(lambda: SeismicTask(collection=_largest()), (HALF,)),
        "paper": Setting(lambda: SeismicTask(collection=SPLADE, queries=500), (HALF,), seeds=10),
    },
    rule=rule,
    method="seismic",
    beside=findings,
)


def _largest() -> str:
    """Product titles where the user has them, else the embedded collection."""
    from fewer.data.obtain import known, on_this_machine
    from fewer.data.places import Places

    name = "walmart-amazon"
    return name if on_this_machine(known(name), Places.find(), []) is not None else "python-docstrings"
