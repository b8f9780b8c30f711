"""SparseD (Wang et al. 2025, arXiv 2509.24014): a diffusion language model reads one pattern of blocks at all later steps."""

import os
from collections.abc import Sequence
from dataclasses import replace

from fewer.attention.dense import DenseAttention
from fewer.attention.diffusion.copy_task import CopyTask
from fewer.attention.diffusion.generation_task import OtherHead
from fewer.attention.diffusion.needle_task import NeedleTask
from fewer.attention.sparsed import SparseD
from fewer.attention.static import Window
from fewer.claims.claim import Claim, Setting
from fewer.compare.beside import Alone, Beside
from fewer.compare.result import Results
from fewer.compare.rules import Above, Below, Rule, all_of
from fewer.core import Method
from fewer.data.trained.echo_lm import EchoRecipe

SELECT, SKIP = 0.3, 0.2
"""The published setting, at which the rule holds methods against each other."""
BLOCK = 8
LABELS = {None: "no-dense", 0.0: "skip-0", 0.5: "skip-0.5"}
"""Behind "@", for arms of another schedule than the published one."""


def name_of(family: str, skip: float | None) -> str:
    return family if skip == SKIP else f"{family}@{LABELS[skip]}"


def families(skip: float | None, block: int) -> dict[str, Method]:
    """The method, its variants and its baselines, all with the same dense steps."""
    own = SparseD(block=block, skip=skip)
    return {
        "sparsed": own,
        "random": own.random_twin(),
        "window": Window(block=block, skip=skip),
        "joint": replace(own, sides="joint"),
        "one-pattern": replace(own, shared=True),
        "other-head": OtherHead(block=block, skip=skip),
        "streaming": Window(block=block, skip=skip, sinks=1),
        "strict": replace(own, sides="strict"),
    }


def arms(by_skip: dict[float | None, Sequence[str]], block: int = BLOCK) -> dict[str, Method]:
    """Dense, and for each schedule some families."""
    named = {name_of(f, skip): families(skip, block)[f] for skip, chosen in by_skip.items() for f in chosen}
    return {"dense": DenseAttention(), **named}


MAIN = ("sparsed", "random", "window", "joint", "one-pattern", "other-head")
FEW: dict[float | None, Sequence[str]] = {SKIP: MAIN, None: ("sparsed", "random", "window")}
ALL: dict[float | None, Sequence[str]] = {skip: tuple(families(skip, BLOCK)) for skip in (SKIP, None, 0.0, 0.5)}


def rule(setting: Setting) -> Rule:
    """At the published setting a head's patterns of two steps overlap more than those of two heads, and these more than random
    ones; SparseD copies within 2 points of dense, while random blocks and a window lose more than 10. That early steps must
    stay dense is judged by itself: at every select, more is copied than without a dense step."""
    at = (SELECT,)
    return Beside(
        all_of(
            Above("overlap", "sparsed", "other-head", at),
            Above("overlap", "other-head", "random", at),
            Above("copied", "sparsed", "dense", at, margin=0.02),
            Below("copied", "random", "dense", at, margin=-0.1),
            Below("copied", "window", "dense", at, margin=-0.1),
        ),
        (
            Alone(
                "early steps must stay dense",
                Above("copied", "sparsed", name_of("sparsed", None), tuple(setting.budgets)),
                strict=True,
            ),
        ),
    )


def findings(results: Results) -> list[str]:
    """What every arm copies, keeps and costs, and SparseD against its variants."""
    lines = []
    for budget in sorted(results.budgets):
        for arm in results.arms:
            copied, density, cost = (results.summary(arm, budget, m).mean for m in ("copied", "density", "cost_share"))
            lines.append(f"{arm} at select {budget:g}: copies {copied:.3f}, keeps {density:.2f}, costs {cost:.2f} of dense")
        for arm in ("joint", "one-pattern", "strict"):
            if arm in results.arms:
                gain = results.versus("sparsed", arm, budget, "copied")
                sides = "ahead" if gain.low > 0 else "behind" if gain.high < 0 else "within noise"
                lines.append(f"sparsed - {arm} at select {budget:g}: {gain.mean:+.3f} ({sides})")
    return lines


def _trusted() -> bool:
    """Did the user name the checkpoint whose code may run?"""
    return os.environ.get("FEWER_TRUST_REMOTE_CODE") == NeedleTask.checkpoint


SMALLEST = EchoRecipe(layers=2, hidden=32, length=64, steps=500, plain=0.25, causal=False)

claim = Claim(
    system="sparsed",
    says="In a diffusion language model each head's pattern of blocks stays alike over the steps: found once and reused, it "
    "copies as dense attention does, where as many random or near blocks do not.",
    paper="LLaDA-1.5 at select 0.3, skip 0.2: average of five benchmarks 67.62 against 67.33 dense and 45.94 StreamingLLM; "
    "1.50 times as fast at 64k tokens with 1024 steps (arXiv 2509.24014, its repository's tables and abstract)",
    arms=arms(FEW),
    settings={
        "smoke": Setting(
            lambda: CopyTask(recipe=SMALLEST, text_set="python-topics", sequences=8, steps=16), (SELECT,), arms=arms(FEW)
        ),
        "small": Setting(CopyTask, (0.1, SELECT), seeds=5),
        "grid": Setting(CopyTask, (0.1, 0.2, SELECT, 0.5), seeds=5, arms=arms(ALL)),
        # the paper's model and settings; needles in running text, since RULER is not at hand
        "paper": Setting(lambda: NeedleTask(trust_remote_code=_trusted()), (SELECT,), seeds=5, arms=arms(FEW, block=128)),
    },
    rule=rule,
    method="sparsed",
    at=lambda setting: SELECT,
    beside=findings,
)
