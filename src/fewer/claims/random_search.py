"""Random search (Farahani 2024): a sub-network with a better start is no better once trained."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from fewer.claims.claim import Claim, Setting
from fewer.compare.neutral import neutral
from fewer.compare.result import Results, Row
from fewer.compare.rules import Above, Rule, all_of
from fewer.core import Method
from fewer.weights.search.random_search import RandomSearch
from fewer.weights.tasks.digits_convergence import RECIPE, DigitsConvergence
from fewer.weights.training.dense import DenseTraining

NODES = (0.5, 0.2, 0.1, 0.05, 0.02)
"""Shares of the hidden units that are kept: node sparsity .5 to .98. Of the weights far fewer stay."""
TRUSTED = (0.5, 0.2, 0.1, 0.05)
"""Where +-2 points must hold the interval. Runs of the few units that are left at .02 differ by more than affordable seeds
average out; there the difference is tested and its interval printed, and no size is claimed."""
KEPT = 0.1
"""Node density .1 is where 90% of dense accuracy must be left."""


def arms(samples: int = 200) -> dict[str, Method]:
    """The control is the first sample of the same search; only the sub-network differs between these three."""
    winner = RandomSearch(samples=samples, share_of="nodes")
    loser = RandomSearch(samples=samples, share_of="nodes", pick="loser")
    return {"dense": DenseTraining(), "control": winner.random_twin(), "winner": winner, "loser": loser}


def rule(setting: Setting) -> Rule:
    """No significant difference to the control in accuracy or speed, accuracy to within 2 points, and most of it kept."""
    at = list(setting.budgets)
    return all_of(
        neutral("accuracy", "winner", "control", at, "higher", margin=0.02, sized=[b for b in at if b in TRUSTED]),
        neutral("epochs_to_goal", "winner", "control", at, "lower"),
        Above("accuracy", "winner", "dense", (KEPT,), margin=1 / 0.9, ratio=True),
    )


def findings(results: Results) -> list[str]:
    """What the search found and cost, and the loser."""
    lines = []
    for budget in results.budgets:
        rows = {arm: results.of(arm, budget) for arm in ("control", "winner", "loser")}
        weights = fmean(_facts(rows["winner"], "nominal_density"))
        scores = " / ".join(f"{fmean(_facts(rows[arm], 'initial_score')):.4f}" for arm in ("winner", "control", "loser"))
        loser = results.versus("loser", "control", budget, "accuracy")
        lines.append(
            f"node sparsity {1 - budget:g} is weight sparsity {1 - weights:.4f}; initial loss of winner / control / loser "
            f"{scores}; "
            f"loser - control {loser.mean:.4f} [{loser.low:.4f}, {loser.high:.4f}]; the search cost "
            f"{fmean(_facts(rows['winner'], 'search_share')):.2f} training runs in multiply-adds, "
            f"{fmean(_facts(rows['winner'], 'search_share_seconds')):.2f} in seconds"
        )
    return lines


def _facts(rows: Sequence[Row], name: str) -> list[float]:
    return [row.detail["facts"][name] for row in rows]


def smoke() -> DigitsConvergence:
    """Seconds: a small parent, trained hardly at all."""
    return DigitsConvergence(width=64, recipe=replace(RECIPE, epochs=4))


def larger() -> DigitsConvergence:
    """The paper's sizes were not read: a larger parent on MNIST's 10,000 images."""
    return DigitsConvergence(name="mnist-convergence", images="mnist-10k", width=1024)


claim = Claim(
    system="random-search",
    says="Of 200 random sub-networks of one initial network, the one of lowest loss trains no better and no faster than any "
    "other of its size, and most of the dense accuracy survives.",
    paper="none in numbers: searched networks are neither better nor faster to converge than random ones of equal sparsity "
    "(arXiv 2403.08265, abstract)",
    arms=arms(),
    settings={
        "smoke": Setting(smoke, budgets=(0.5, KEPT), arms=arms(samples=20)),
        "small": Setting(DigitsConvergence, budgets=NODES, seeds=20),
        "paper": Setting(larger, budgets=NODES, seeds=20),
    },
    rule=rule,
    method="winner",
    at=lambda setting: KEPT,
    random="control",
    twins={"control": "winner"},
    beside=findings,
)
