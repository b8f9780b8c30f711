"""R-Sparse (Zhang et al. 2025, arXiv 2504.19449): large inputs through the weights, the rest through a low-rank copy."""

from fewer.activations.methods import TEAL, AllInputs, MagnitudeChannels, RSparse
from fewer.activations.tasks.echo import EchoInputs
from fewer.activations.tasks.language import SparseInputsPerplexity
from fewer.claims.claim import Claim, Setting
from fewer.compare.result import Results
from fewer.compare.rules import Rule, all_of, at_least, lower
from fewer.core import Method
from fewer.data.trained.echo_lm import EchoRecipe

BUDGETS = (0.5, 0.4, 0.3)
"""Shares of the weights that may be read for a token: all arms touch as many, their low-rank copies included."""
MIXTURES = {"r-sparse": 0.95, "rho 0.9": 0.9, "rho 0.8": 0.8, "rho 0.6": 0.6}
"""Arm -> share of the budget that goes to inputs; the first is the authors' uniform choice."""
ARMS: dict[str, Method] = {
    "dense": AllInputs(),
    "random": RSparse(rho=1.0).random_twin(),
    "magnitude-channels": MagnitudeChannels(),
    "abs x": TEAL(),
    "abs x * scale": RSparse(rho=1.0),
    **{name: RSparse(rho=rho) for name, rho in MIXTURES.items()},
    "low rank": RSparse(rho=0.0),
}


def rule(setting: Setting) -> Rule:
    """On plain text and on echo, at every budget, inputs by |x| * scale lose less than random ones and than low rank alone; on
    plain text less than by |x|; and a low-rank share of 5 to 20% helps somewhere on echo at the smaller budgets."""
    at = [budget for budget in setting.budgets if budget in BUDGETS]
    small = [budget for budget in at if budget < max(at)] or at
    return all_of(
        *(
            lower(measure, "abs x * scale", than=than, at=at)
            for measure in ("plain", "echo")
            for than in ("random", "low rank")
        ),
        lower("plain", "abs x * scale", than="abs x", at=at),
        at_least(
            1,
            *(lower("echo", arm, than="abs x * scale", at=[b]) for arm in ("r-sparse", "rho 0.9", "rho 0.8") for b in small),
        ),
    )


def by_perplexity(setting: Setting) -> Rule:
    """The paper's own: at half of the weights R-Sparse loses less than random inputs, and less than |x| alone."""
    return all_of(lower("nll", "r-sparse", than="random", at=[0.5]), lower("nll", "r-sparse", than="abs x", at=[0.5]))


def over_chance(setting: Setting) -> Rule:
    """Less loss than random inputs at the smallest budget: what a network can show that has not learnt to copy yet."""
    return all_of(*(lower(m, "abs x * scale", than="random", at=[min(setting.budgets)]) for m in ("plain", "echo")))


def chosen_rule(setting: Setting) -> Rule:
    """The rule of a scale: the paper's model has no echo, and the smoke run's network has not learnt it."""
    scale = next((name for name, of_claim in claim.settings.items() if of_claim is setting), "small")
    return {"smoke": over_chance, "paper": by_perplexity}.get(scale, rule)(setting)


def findings(results: Results) -> list[str]:
    """Every arm in both measures, and where a low-rank share helps or hurts."""
    lines = []
    measures = list(results.quality)
    for budget in results.budgets:
        shown = ", ".join(
            f"{arm} {' / '.join(f'{results.summary(arm, budget, m).mean:.3f}' for m in measures)}" for arm in results.arms
        )
        lines.append(f"density {budget:g}, {' / '.join(measures)}: {shown}")
        for arm in MIXTURES:
            found = [(m, results.versus(arm, "abs x * scale", budget, m)) for m in measures]
            told = ", ".join(f"{m} {e.mean:+.4f} [{e.low:.4f}, {e.high:.4f}]" for m, e in found)
            ranks = {row.detail["facts"]["highest_rank"] for row in results.of(arm, budget) if "facts" in row.detail}
            lines.append(f"{arm} - abs x * scale at {budget:g}: {told}; rank up to {max(ranks, default=0):g}")
    return lines


SMALL = EchoRecipe(layers=2, hidden=32, heads=2, intermediate=64, length=64, steps=200, batch=8)
"""Of the smoke run: learns little, in seconds."""

claim = Claim(
    system="r-sparse",
    says="Without training, a decoder's linear layers can skip the inputs whose size times the norm of their weights is small, "
    "far better than random inputs or a low-rank copy of equal size, and a low-rank copy for the rest helps to look back.",
    paper="Llama-2-7B, Llama-3-8B, Mistral-7B: on a par with dense at 50% over ten tasks, 43% faster generation (arXiv "
    "2504.19449, abstract)",
    arms=ARMS,
    settings={
        "smoke": Setting(lambda: EchoInputs(recipe=SMALL, tested=16), budgets=(0.5, 0.3)),
        "small": Setting(EchoInputs.on_default_text, budgets=BUDGETS, seeds=6),
        "paper": Setting(
            lambda: SparseInputsPerplexity.on_default_text(
                model="meta-llama/Meta-Llama-3-8B", sequences=16, length=2048, windows=64, dense_prompt=0.9
            ),
            budgets=BUDGETS,
        ),
    },
    rule=chosen_rule,
    method="r-sparse",
    at=lambda setting: max(setting.budgets),
    beside=findings,
)
