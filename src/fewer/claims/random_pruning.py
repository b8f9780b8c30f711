"""Random pruning (Liu et al. 2022, arXiv 2202.02643): the larger the network, the nearer a random mask comes to dense."""

from collections.abc import Mapping, Sequence
from functools import partial

from fewer.claims.claim import Claim, Setting
from fewer.compare.result import Results
from fewer.compare.rules import Rule, all_of, within
from fewer.compare.size_rules import AheadWhereApart, GapFalls, WithinNoise
from fewer.core import Global, Method, Uniform
from fewer.weights.networks import CifarResNet, Network, Perceptron
from fewer.weights.networks.resnet import CifarResNetByDepth
from fewer.weights.tasks.images import ImageTraining
from fewer.weights.training.at_width import AtWidth
from fewer.weights.training.methods import DenseTraining, RandomPruning, SmallDense, SnipTraining
from fewer.weights.training.problem import Recipe
from fewer.weights.training.saliency import ConnectionSensitivity
from fewer.weights.training.trainer import Trainer

FAMILIES: Mapping[str, Trainer] = {
    "dense": DenseTraining(),
    "random": RandomPruning(allocation=Uniform()),
    "erk": RandomPruning(),
    "snip-ratio": RandomPruning(allocation=Global(), saliency=ConnectionSensitivity()),
    "snip": SnipTraining(),
    "snip-shuffled": SnipTraining().random_twin(),  # type: ignore[dict-item]
    "small-dense": SmallDense(fit="nearest"),
}
"""`random` has the same density in every layer; `erk` is the paper's method at its best."""

TORCH: Mapping[str, Trainer] = {
    "dense": DenseTraining(initial="torch"),
    "random": RandomPruning(allocation=Uniform(), initial="torch"),
    "erk": RandomPruning(initial="torch"),
}
"""With torch's own initial weights, whose scale knows nothing of the mask."""


def name_of(family: str, size: int, sizes: Sequence[int]) -> str:
    """The largest network's arms have plain names, so that `dense` and `random` are there."""
    return family if size == sizes[-1] else f"{family}@{size}"


def arms(sizes: Sequence[int], torch_at: int | None = None) -> dict[str, Method]:
    """Every family at every size, and beside them torch's initialisation at one: "erk+torch@128"."""
    found: dict[str, Method] = {
        name_of(family, size, sizes): AtWidth(trainer, size) for size in sizes for family, trainer in FAMILIES.items()
    }
    if torch_at is not None:
        found |= {f"{family}+torch@{torch_at}": AtWidth(trainer, torch_at) for family, trainer in TORCH.items()}
    return found


def rule(setting: Setting) -> Rule:
    """Section 7 of the system's card. At other sizes than the card's, the last two take the places of widths 128 and 256."""
    sizes = sizes_of(setting.arms or claim.arms)
    near, largest = sizes[-2:]
    at = list(setting.budgets)

    def pairs(family: str, other: str) -> tuple[tuple[str, str], ...]:
        return tuple((name_of(family, size, sizes), name_of(other, size, sizes)) for size in sizes)

    return all_of(
        *(GapFalls("accuracy", pairs("dense", "erk"), budget) for budget in at),
        within("accuracy", name_of("dense", near, sizes), of=name_of("erk", near, sizes), margin=0.03, at=at),
        within("accuracy", name_of("dense", largest, sizes), of=name_of("erk", largest, sizes), margin=0.02, at=at),
        *(AheadWhereApart("accuracy", pairs("erk", "random"), budget) for budget in at),
        *(WithinNoise("accuracy", pairs("snip-ratio", "erk"), budget, margin=0.02) for budget in at),
    )


def sizes_of(chosen: Mapping[str, Method]) -> tuple[int, ...]:
    """The sizes of the arms, in order of appearance."""
    return tuple(dict.fromkeys(method.width for method in chosen.values() if isinstance(method, AtWidth)))


def findings(results: Results) -> list[str]:
    """Other masks against ERK's, a small dense network against all, and what torch's initial weights cost."""
    sizes = tuple(dict.fromkeys(facts.configuration["width"] for facts in results.arms.values()))
    lines = []
    for budget in results.budgets:
        for family, what in _BESIDE.items():
            gains = [
                results.versus(name_of(family, size, sizes), name_of("erk", size, sizes), budget, "accuracy") for size in sizes
            ]
            sides = ["ahead" if gain.low > 0 else "behind" if gain.high < 0 else "even" for gain in gains]
            said = ", ".join(
                f"{gain.mean:+.3f} at {size} ({side})" for size, gain, side in zip(sizes, gains, sides, strict=True)
            )
            lines.append(f"accuracy of {what} - erk: {said}")
        for name in results.arms:
            family, own, at = name.partition("+torch@")
            if own:
                aware = name_of(family, int(at), sizes)
                ours, theirs = (results.summary(arm, budget, "accuracy").mean for arm in (name, aware))
                lines.append(f"{aware} {theirs:.3f}; with torch's initial weights {ours:.3f}")
    return lines


_BESIDE = {
    "snip": "SNIP's own positions",
    "snip-shuffled": "SNIP's mask shuffled within each layer",
    "small-dense": "a small dense network of as many weights",
}


def digits() -> ImageTraining:
    """Perceptrons with two hidden layers on scikit-learn's digits, 60% to train and 40% to test."""
    return ImageTraining(images="digits", test=0.4, network=Perceptron(), recipe=Recipe(epochs=40))


def cifar(network: Network) -> ImageTraining:
    """The paper's recipe: SGD, 160 epochs, rate 0.1, a tenth of it from a half on and from three quarters, batch 128."""
    return ImageTraining(images="cifar10", network=network, recipe=Recipe(epochs=160, rate=0.1), augment=True, device="auto")


claim = Claim(
    system="random-pruning",
    says="The wider the network, the nearer random pruning at initialisation comes to dense training; layer ratios matter, and "
    "those of SNIP are worth no more than ERK's.",
    paper="CIFAR-10, width 16, 80% sparse, ERK: dense - random falls from 2.5 points (ResNet-20) to 0.7 (ResNet-110) "
    "(arXiv 2202.02643, read off its figure)",
    arms=arms((16, 32, 64, 128, 256), torch_at=128),
    settings={
        "smoke": Setting(digits, budgets=(0.1,), arms=arms((16, 128, 256))),
        "small": Setting(digits, budgets=(0.1,), seeds=8),
        "paper": Setting(partial(cifar, CifarResNet(20)), budgets=(0.5, 0.2, 0.1), arms=arms((8, 16, 24))),
        "paper-depth": Setting(
            partial(cifar, CifarResNetByDepth(16)), budgets=(0.5, 0.2, 0.1), arms=arms((20, 32, 44, 56, 110))
        ),
    },
    rule=rule,
    method="erk",
    beside=findings,
)
