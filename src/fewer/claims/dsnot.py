"""DSnoT (Zhang et al. 2023, arXiv 2310.08915): swapping weights in a mask makes a pruned network better without training."""

from collections.abc import Iterator
from statistics import fmean
from typing import Any

from fewer.claims.claim import Claim, Setting
from fewer.compare.result import Results
from fewer.compare.rules import Judgement, Rule, all_of, lower
from fewer.core import Method
from fewer.weights.methods import Dense, DSnoT, Magnitude, Random, SparseGPTMask, Wanda
from fewer.weights.tasks.language import LanguageModelPerplexity
from fewer.weights.tasks.pretrained_digits import PretrainedDigits

HEAVY = (0.4, 0.3)
"""The densities at which the claim must hold."""
BASES = {"dsnot": "wanda", "dsnot:magnitude": "magnitude", "dsnot:random": "random"}
"""Refined arm -> the arm whose masks it starts from."""


def arms(refined: dict[str, DSnoT]) -> dict[str, Method]:
    """Dense, the bases, each refined, and each with as many swaps by chance."""
    twins = {f"random:{name}": method.random_twin() for name, method in refined.items()}
    return {"dense": Dense(), "random": Random(), "magnitude": Magnitude(), "wanda": Wanda(), **refined, **twins}


def on_digits(base: Method) -> DSnoT:
    """The card's parameters: delta = 0.1 on the scale of means, all else as published."""
    return DSnoT(base=base, delta=0.1, same_sign=False)  # type: ignore[arg-type]


def published(base: Method) -> DSnoT:
    """delta = 0.1 over a sequence of 2,048 tokens, 50 cycles, attention alone."""
    return DSnoT(base=base, delta=0.1 / 2048, same_sign=False, exclude=("*.mlp.*",), squared_error=False)  # type: ignore[arg-type]


def rule(setting: Setting) -> Rule:
    """Lower held-out loss than the mask that it started from, for Wanda and for magnitude, at 60 and 70% sparsity."""
    at = [budget for budget in setting.budgets if budget in HEAVY]
    return all_of(*(lower("nll", arm, than=BASES[arm], at=at) for arm in ("dsnot", "dsnot:magnitude")))


def judge(results: Results, ranked: Judgement) -> Judgement:
    """Besides the losses: every layer keeps its count, and the mean output error must fall, or the claim is refuted."""
    lines, broken = [], False
    for arm in ("dsnot", "dsnot:magnitude"):
        for budget in HEAVY:
            layers = list(_layers(results, arm, budget))
            if not layers:
                continue
            was, now = (fmean(layer["report"][name] for layer in layers) for name in ("mean_error_before", "mean_error"))
            counts = [layer["density"] for layer in layers]
            same = counts == [layer["density"] for layer in _layers(results, BASES[arm], budget)]
            broken |= now >= was or not same
            lines.append(
                f"{arm} at density {budget:g}: mean output error {was:.4g} -> {now:.4g}, "
                f"counts of the layers {'as they were' if same else 'CHANGED'}"
            )
    text = "\n".join([ranked.text, *lines])
    return Judgement("refuted", ranked.effect, text) if broken else Judgement(ranked.verdict, ranked.effect, text)


def _layers(results: Results, arm: str, budget: float) -> Iterator[dict[str, Any]]:
    for row in results.of(arm, budget):
        yield from row.detail["layers"]


def llama() -> LanguageModelPerplexity:
    """The paper's LLaMA-7B and 128 sequences of 2,048 tokens, block by block; WikiText-2 stands in for C4 in calibration."""
    return LanguageModelPerplexity(
        model="huggyllama/llama-7b", text="wikitext2", text_source="", sequences=128, length=2048, windows=128, mode="block"
    )


ON_DIGITS = arms({"dsnot": on_digits(Wanda()), "dsnot:magnitude": on_digits(Magnitude()), "dsnot:random": on_digits(Random())})
AS_PUBLISHED = arms(
    {
        "dsnot": published(Wanda()),
        "dsnot:magnitude": published(Magnitude()),
        "dsnot:sparsegpt-mask": published(SparseGPTMask()),
    }
) | {"sparsegpt-mask": SparseGPTMask()}

claim = Claim(
    system="dsnot",
    says="Swapping weights in and out of a mask until the mean output is the dense layer's, without any training, lowers the "
    "loss of a network pruned by Wanda or by magnitude to 60 or 70% sparsity.",
    paper="LLaMA-7B on WikiText-2 at 60%: Wanda 10.69 -> 10.22, magnitude 560 -> 66.7; at 70% Wanda falls by 26.79 "
    "(arXiv 2310.08915)",
    arms=ON_DIGITS,
    settings={
        "smoke": Setting(PretrainedDigits, budgets=HEAVY),
        "small": Setting(PretrainedDigits, budgets=(0.5, 0.4, 0.3, 0.2), seeds=20),
        "paper": Setting(llama, budgets=(0.5, 0.4, 0.3), arms=AS_PUBLISHED),
    },
    rule=rule,
    method="dsnot",
    at=lambda setting: min(HEAVY),
    judge=judge,
    twins={f"random:{name}": name for name in (*BASES, "dsnot:sparsegpt-mask")},
)
