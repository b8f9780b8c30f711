"""Lazy neurons (Li et al. 2022, arXiv 2210.06313): trained ReLU networks fire few units, and lose nothing with just those."""

from statistics import fmean

from fewer.activations.lazy.methods import DropoutTraining, NaturalReLU, TopKTraining
from fewer.activations.lazy.networks import Network
from fewer.activations.lazy.task import LazyNeurons
from fewer.claims.claim import Claim, Setting
from fewer.compare.beside import Alone
from fewer.compare.result import Results
from fewer.compare.rules import Above, Below, Rule, all_of, at_least
from fewer.core import Method

FALL = 0.9
"""What must be left of the densest layer's density at step 0, at most."""
WHOLE = (1.0,)
"""The budget of arms in which units fire as they will."""


def trained(network: Network, prefix: str = "") -> dict[str, Method]:
    """Of one network: dense, the k largest units, as many by chance, and dropout of the others in training only."""
    top_k = TopKTraining(network=network)
    return {
        f"{prefix}dense": NaturalReLU(network),
        f"{prefix}random": top_k.random_twin(),
        f"{prefix}topk": top_k,
        f"{prefix}dropout": DropoutTraining(network),
    }


def observed(network: Network, narrow: int, wide: int) -> dict[str, Method]:
    """Beside `dense`, the networks in which units are counted: other things to learn, other widths, and step 0. And the
    control: one in which no unit ever fires."""
    return {
        "no-hidden": NaturalReLU(network, silent=True),
        "random-labels": NaturalReLU(network, labels="random", whole=False),
        "random-inputs": NaturalReLU(network, inputs="random", whole=False),
        "narrow": NaturalReLU(network, width=narrow, whole=False),
        "wide": NaturalReLU(network, width=wide, whole=False),
        "bytes": NaturalReLU("bytes", whole=False),
        "at-start": NaturalReLU(network, trained=False),
        "bytes-at-start": NaturalReLU("bytes", trained=False),
    }


def robust(at: tuple[float, ...], prefix: str = "") -> Rule:
    """Within 1 point on true labels, clearly above random units; under label noise better than dense, in accuracy both at the
    last epoch and at each one's best on held-out data, or in calibration."""
    top_k, dense = f"{prefix}topk", f"{prefix}dense"
    return all_of(
        Above("accuracy", top_k, dense, at, 0.01),
        Above("accuracy", top_k, f"{prefix}random", at, -0.01),
        at_least(
            1,
            all_of(Above("accuracy_noisy", top_k, dense, at), Above("accuracy_noisy_stopped", top_k, dense, at)),
            Below("ece_noisy", top_k, dense, at),
        ),
    )


def emergence() -> Rule:
    """With true labels, random labels, random inputs and in a language model density falls; wide networks end sparser."""
    starts = {"dense": "at-start", "random-labels": "at-start", "random-inputs": "at-start", "bytes": "bytes-at-start"}
    return all_of(
        *(Below("highest_density", arm, start, WHOLE, FALL, ratio=True) for arm, start in starts.items()),
        Below("density", "wide", "narrow", WHOLE),
    )


NEEDED = Alone("the task needs its hidden units", Above("accuracy", "dense", "no-hidden", WHOLE, margin=-0.05))
"""Where this is not confirmed, no comparison of hidden units means anything, whichever are kept."""


def rule(setting: Setting) -> Rule:
    """Density emerges, and Top-k is robust, in the transformer at every budget."""
    return all_of(emergence(), robust(tuple(setting.budgets)))


def findings(results: Results) -> list[str]:
    """The control, each half of the claim alone, the counter-example, the perceptron, and the baselines."""
    budgets = tuple(results.budgets)
    halves = {"emergence": emergence(), "top-k": robust(budgets)}
    lines = NEEDED.findings(results)
    lines += [f"{name} alone -> {half.judge(results).verdict}" for name, half in halves.items()]
    if "mlp-topk" in results.arms:
        lines.append(
            f"top-k in the perceptron, which the rule does not ask for -> {robust(budgets, 'mlp-').judge(results).verdict}"
        )
    for arm, facts in results.arms.items():
        if facts.kind == "dense" and (traced := _traced(results, arm)):
            dead = fmean(row.detail["facts"]["dead_units"] / row.detail["facts"]["units"] for row in results.of(arm, 1.0))
            lines.append(f"density by layer, {arm}: {traced}; dead units {dead:.1%}")
    for arm, facts in results.arms.items():
        for budget in WHOLE if facts.kind == "dense" else budgets:
            if results.values(arm, budget, "accuracy_noisy"):
                lines.append(f"{arm} at {budget:g}, true and wrong labels: {_tested(results, arm, budget)}")
    return lines


def _traced(results: Results, arm: str) -> str:
    """Mean over seeds, on training and on test data."""
    rows = results.of(arm, 1.0)
    said = []
    for at in range(len(rows[0].detail["trace"])):
        points = [row.detail["trace"][at] for row in rows]
        parts = {
            part: [f"{fmean(layer):.2f}" for layer in zip(*(p[part] for p in points), strict=True)]
            for part in ("train", "test")
        }
        said.append(f"{'/'.join(parts['train'])} (test {'/'.join(parts['test'])}) at {points[0]['at']}")
    return ", ".join(said) if len(said) > 1 else ""


def _tested(results: Results, arm: str, budget: float) -> str:
    def mean(name: str) -> float:
        return results.summary(arm, budget, name).mean

    both = "; ".join(
        f"accuracy {mean(f'accuracy{after}'):.3f}, at the best epoch {mean(f'accuracy{after}_stopped'):.3f}, "
        f"ECE {mean(f'ece{after}'):.3f}"
        for after in ("", "_noisy")
    )
    return f"{both}; with input noise {mean('robust'):.3f}; density {mean('density'):.3f}"


ARMS = {**trained("vit-2x2"), **observed("vit-2x2", 64, 1024)}
ON_DIGITS = {**trained("vit"), **observed("vit", 64, 1024), **trained("perceptron", "mlp-")}
QUICK = {**trained("perceptron"), **observed("perceptron", 64, 1024)}
AS_PUBLISHED = {**trained("vit-b16"), **observed("vit-b16", 768, 6144)}


def vit_b16() -> LazyNeurons:
    """ViT-B/16 with ReLU, k = 128 of 3,072. ImageNet cannot be had by name: CIFAR-10's 50,000 images, enlarged, stand in."""
    return LazyNeurons(images="cifar10", side=224, epochs=300, steps=100_000, batch=256)


claim = Claim(
    system="lazy-neuron",
    says="Training makes the MLPs of a transformer fire few of their ReLU units for a token, whatever the labels or inputs, "
    "the fewer the wider they are; and with just the k largest from the start it is as accurate, and better under label noise.",
    paper="3.0% of the units of T5-Base are not zero, 6.3% of ViT-B/16's (arXiv 2210.06313, abstract)",
    arms=ARMS,
    settings={
        "smoke": Setting(lambda: LazyNeurons(images="digits", epochs=3, steps=2, counted=16), budgets=(0.125,), arms=QUICK),
        "small": Setting(LazyNeurons, budgets=(0.125,)),
        # one digit an image, which attention alone can tell: the control says so
        "digits": Setting(lambda: LazyNeurons(images="digits", epochs=60, steps=400), budgets=(0.125,), arms=ON_DIGITS),
        "paper": Setting(vit_b16, budgets=(128 / 3072,), arms=AS_PUBLISHED),
    },
    rule=rule,
    method="topk",
    twins={"random": "topk", "mlp-random": "mlp-topk"},
    beside=findings,
)
