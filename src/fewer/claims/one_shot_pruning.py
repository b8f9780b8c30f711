"""One-shot pruning of a real language model: SparseGPT and Wanda beside magnitude, random and the dense model."""

from fewer.claims.claim import Claim, Setting
from fewer.compare.rules import Rule, all_of, lower, within
from fewer.core import Method
from fewer.weights.methods import Dense, Magnitude, Random, SparseGPT, Wanda
from fewer.weights.tasks.language import LanguageModelPerplexity


def arms() -> dict[str, Method]:
    """The five arms, and SparseGPT's own twin: random positions, weights moved just the same."""
    return {
        "dense": Dense(),
        "random": Random(),
        "random:sparsegpt": SparseGPT().random_twin(),
        "magnitude": Magnitude(),
        "wanda": Wanda(),
        "sparsegpt": SparseGPT(),
    }


def rule(setting: Setting) -> Rule:
    """The order at the mildest budget, in nats a token, so that arms that fail outright do not drown the rest."""
    at = [max(setting.budgets)]
    return all_of(
        lower("nll", "dense", than="sparsegpt", at=at),
        within("nll", "sparsegpt", of="wanda", margin=0.0, at=at),
        lower("nll", "wanda", than="magnitude", at=at),
        lower("nll", "magnitude", than="random", at=at),
        lower("nll", "sparsegpt", than="random:sparsegpt", at=at),
    )


def tiny() -> LanguageModelPerplexity:
    """The small byte-level model, on the text that comes with Python."""
    return LanguageModelPerplexity(
        model="tiny-bytes", text="python-topics", text_source="embedded", length=256, sequences=16, windows=16
    )


def smollm2() -> LanguageModelPerplexity:
    """SmolLM2-135M on WikiText-2, or on the language reference."""
    return LanguageModelPerplexity.on_default_text(sequences=8, windows=5)


def llama() -> LanguageModelPerplexity:
    """The papers' setting: 128 sequences of 2,048 tokens; needs a GPU's memory or patience."""
    return LanguageModelPerplexity.on_default_text(
        model="huggyllama/llama-7b", sequences=128, length=2048, windows=128, mode="block"
    )


claim = Claim(
    system="one-shot-pruning",
    says="At 50% sparsity a language model loses less by SparseGPT than by Wanda, less by Wanda than by magnitude, "
    "and less by magnitude than by random pruning.",
    paper="LLaMA-2-7B at 50%, WikiText-2: dense 5.12, SparseGPT 6.51, Wanda 6.42, magnitude 14.89 (Wanda's repository)",
    arms=arms(),
    settings={
        "smoke": Setting(tiny, budgets=(0.5,)),
        "small": Setting(smollm2, budgets=(0.5,)),
        "paper": Setting(llama, budgets=(0.5, 0.4, 0.3), seeds=3),
    },
    rule=rule,
    method="sparsegpt",
    twins={"random:sparsegpt": "sparsegpt"},
)
