"""The Sparse Frontier (Nawrot et al. 2025, arXiv 2504.17768): no way of choosing keys is best for every task and phase."""

from fewer.attention.frontier.arms import TWINS, for_bytes, published
from fewer.attention.frontier.rules import BeatTwins, BestDiffers, BreaksAlone, ChoiceMatters, NeedsLess, NoneDominates
from fewer.attention.frontier.task import FrontierTask
from fewer.claims.claim import Claim, Setting
from fewer.compare.result import Results
from fewer.compare.rules import Rule, all_of
from fewer.data.trained.echo_lm import EchoRecipe

PHASES = {"prefill": ("vertical-slash", "block"), "decode": ("quest", "snapkv")}
OTHERS = ("oracle-blocks", "window", "oracle-tokens")
"""References: what no estimator can beat at its unit, and what looks at nothing."""
SHOWN = ("dense", *PHASES["prefill"], *PHASES["decode"], *OTHERS, *TWINS)
BUDGETS = (0.8, 0.6, 0.4, 0.25, 0.15)


def _arms(length: int) -> dict:
    return {name: arm for name, arm in for_bytes(length).items() if name in SHOWN}


def rule(setting: Setting) -> Rule:
    """(a) best differs between tasks; (b) Quest needs less than prefilling; (c) one breaks alone; (d) all beat their twins.

    Refuted where one method is best everywhere, or chosen blocks nowhere beat random ones. All at equal density: the cells
    that are really kept, of those of the phase; an arm whose forced parts keep it from a density is not compared there.
    """
    task = setting.task()
    assert isinstance(task, FrontierTask)
    tasks, at = task.tasks, tuple(setting.budgets)
    return all_of(
        BestDiffers(PHASES, tasks, at),
        NeedsLess("quest", PHASES["prefill"], tasks),
        BreaksAlone(PHASES, tasks, at),
        BeatTwins({of: twin for twin, of in TWINS.items()}, tasks, at),
        NoneDominates(PHASES, tasks, at),
        ChoiceMatters("block", "random", tasks, at),
    )


def findings(results: Results) -> list[str]:
    """Every arm with the density it reached."""
    tasks = [name.removeprefix("nll:") for name in results.quality if name.startswith("nll:")]
    lines = [f"nats a token of {' / '.join(tasks)} (density reached); units and phases differ between arms:"]
    for arm, facts in results.arms.items():
        for budget in [1.0] if facts.kind == "dense" else results.budgets:
            means = " / ".join(f"{results.summary(arm, budget, f'nll:{task}').mean:.3f}" for task in tasks)
            lines.append(f"{arm}: {means} ({results.summary(arm, budget, 'density').mean:.2f})")
    return lines


claim = Claim(
    system="sparse-frontier",
    says="No training-free sparse attention is best in every task and phase; methods break at different densities, and the "
    "choice of keys matters.",
    paper="Qwen2.5 7B to 72B, 16k to 128k tokens: decoding tolerates more sparsity than prefilling, and even moderate sparsity "
    "costs much on some task (arXiv 2504.17768, abstract)",
    arms=_arms(256),
    settings={
        "smoke": Setting(
            lambda: FrontierTask(
                recipe=EchoRecipe(hidden=32, intermediate=64, length=64, steps=150),
                tasks=("echo", "plain"),
                length=64,
                samples=8,
            ),
            (0.8, 0.6),
            arms=_arms(64),
        ),
        "small": Setting(lambda: FrontierTask(recipe=EchoRecipe(), tasks=("echo", "plain"), length=256, samples=32), BUDGETS),
        "paper": Setting(
            lambda: FrontierTask(
                model="Qwen/Qwen2.5-7B-Instruct", length=16384, samples=10, dtype="bfloat16", device="cuda", held=8
            ),
            (0.5, 0.25, 0.1, 0.05),
            seeds=10,
            arms={name: arm for name, arm in published().items() if name in SHOWN},
        ),
    },
    rule=rule,
    method="quest",
    at=lambda setting: max(setting.budgets),
    random="random-pages",
    twins=TWINS,
    beside=findings,
)
