"""Sparse-IFT (Thangarasa et al. 2023, arXiv 2303.11525): a wider, sparser network at equal FLOPs, if its mask moves."""

from collections.abc import Mapping
from statistics import median

from fewer.claims.claim import Claim, Setting
from fewer.compare.result import Results
from fewer.compare.rules import Rule, all_of, at_least, higher, lower, not_shown, within
from fewer.core import Method
from fewer.weights.iso_flop.sites import End
from fewer.weights.iso_flop.sparse_ift import DenseWide, SparseIFT
from fewer.weights.iso_flop.transform import Kind
from fewer.weights.networks import Perceptron
from fewer.weights.networks.resnet18 import ResNet18
from fewer.weights.tasks.narrow import NarrowTraining
from fewer.weights.training.at_width import AtWidth
from fewer.weights.training.methods import SET, DenseTraining, RigL
from fewer.weights.training.problem import Recipe
from fewer.weights.training.trainer import Trainer
from fewer.weights.training.updates import Updates

KINDS: tuple[Kind, ...] = ("parallel", "factorized", "doped")
NARROW, MIDDLE, SATURATED = "", "@16", "@32"
"""Hidden widths of the dense perceptron; 8 where an arm names none."""
LAST: tuple[End, ...] = ("last",)
OFTEN = Updates(every=10)  # 26 updates in the 360 steps of 40 epochs
EQUAL = 1.01
"""Costs may differ by one in a hundred."""


def at_widths(arms: Mapping[str, Trainer], *suffixes: str) -> dict[str, Method]:
    """Each arm at the task's own width, and again at the widths that `suffixes` name."""
    return {
        f"{name}{suffix}": AtWidth(arm, int(suffix[1:])) if suffix else arm for suffix in suffixes for name, arm in arms.items()
    }


def arms() -> dict[str, Method]:
    """Sparse Wide with three ways to move its mask, the dense network and the dense one of its width; then the other kinds.

    All layers of Sparse Wide are sparse. The other kinds leave the last layer dense: a ReLU in it would cut off logits.
    """
    rigl = SparseIFT(base=RigL(updates=OFTEN), dense=())
    wide: dict[str, Trainer] = {
        "dense": DenseTraining(),
        "random": rigl.random_twin(),
        "set": SparseIFT(base=SET(updates=OFTEN), dense=()),
        "sparse-ift": rigl,
        "dense-wide": DenseWide(),
    }
    kinds = {str(kind): SparseIFT(transformation=kind, base=RigL(updates=OFTEN), dense=LAST) for kind in KINDS}
    twins = {f"random:{kind}": arm.random_twin() for kind, arm in kinds.items()}
    saturated = {name: wide[name] for name in ("dense", "sparse-ift")}
    return at_widths(wide, NARROW, MIDDLE) | at_widths(saturated, SATURATED) | at_widths(kinds | twins, NARROW)


def paper_arms() -> dict[str, Method]:
    """The authors': stem and classifier dense, uniform density, updates every 100 steps, their initialisation."""
    wide = SparseIFT(allocation="uniform", init="kaiming")
    return {
        "dense": DenseTraining(),
        "random": wide.random_twin(),
        "sparse-ift": wide,
        **{kind: SparseIFT(transformation=kind, allocation="uniform", init="kaiming") for kind in KINDS},
    }


def rule(setting: Setting) -> Rule:
    """RigL beats dense where capacity is short, at two of three sparsities and equal cost; a mask that never moves does not."""
    alone = setting.arms is not None  # the paper's network has one width, and is judged by accuracy
    parts: list[Rule] = []
    for width in (NARROW,) if alone else (NARROW, MIDDLE):
        dense, ours, static = f"dense{width}", f"sparse-ift{width}", f"random{width}"
        parts += [
            _often(setting, ours, dense, alone),
            not_shown(_often(setting, static, dense, alone)),
            *(
                within(cost, one, of=other, margin=EQUAL, at=list(setting.budgets), ratio=True)
                for cost in (("flops",) if alone else ("weights", "flops"))
                for one, other in ((ours, dense), (dense, ours))
            ),
        ]
    return all_of(*parts)


def _often(setting: Setting, arm: str, dense: str, by_accuracy: bool) -> Rule:
    each = (
        higher("accuracy", arm, than=dense, at=[b]) if by_accuracy else lower("nll", arm, than=dense, at=[b])
        for b in setting.budgets
    )
    return at_least(min(2, len(setting.budgets)), *each)


def findings(results: Results) -> list[str]:
    """What the rule does not ask: means without their intervals, the saturated width, the other kinds, and time as measured."""
    lines = ["by means alone, without intervals:"]
    lines += [
        f"{arm}{width} has a lower mean cross-entropy than dense{width} at {_lower(results, arm, width)} of "
        f"{len(results.budgets)} densities"
        for width in (NARROW, MIDDLE)
        for arm in ("sparse-ift", "random")
        if f"{arm}{width}" in results.arms
    ]
    if f"dense{SATURATED}" in results.arms:
        lines.append("saturated at width 32, where the dense network has capacity enough:")
        lines += [_line(results, arm, b) for b, arm in _each(results, ("dense@32", "sparse-ift@32"))]
    if any(kind in results.arms for kind in KINDS):
        lines.append("the other kinds, with RigL and with a mask that never moves:")
        names = [arm for arm in results.arms if arm.split("@")[0].split(":")[-1] in KINDS]
        lines += [_line(results, arm, b) for b, arm in _each(results, names)]
    lines.append("seconds of training and testing as measured, median over seeds; masked weights are multiplied all the same:")
    lines += [
        f"{arm} at density {b:g}: {_seconds(results, arm, b):.2f} s" for b, arm in _each(results, ("dense", "sparse-ift"))
    ]
    return lines


def _each(results: Results, names: tuple[str, ...] | list[str]) -> list[tuple[float, str]]:
    """Budgets and arms that were measured; a dense arm once."""
    return [(budget, name) for name in names for budget in ([1.0] if results.arms[name].kind == "dense" else results.budgets)]


def _line(results: Results, arm: str, budget: float) -> str:
    loss, accuracy = (results.summary(arm, budget, measure) for measure in ("nll", "accuracy"))
    return f"{arm} at density {budget:g}: cross-entropy {loss.mean:.3f}, accuracy {accuracy.mean:.3f}"


def _lower(results: Results, arm: str, width: str) -> int:
    means = [[results.summary(f"{name}{width}", b, "nll").mean for name in (arm, "dense")] for b in results.budgets]
    return sum(ours < dense for ours, dense in means)


def _seconds(results: Results, arm: str, budget: float) -> float:
    return median(row.seconds for row in results.of(arm, budget))


def perceptron(epochs: int = 40) -> NarrowTraining:
    """64-8-8-10 on the digits, 60% of them to train on; SGD as all sparse training here."""
    return NarrowTraining(images="digits", test=0.4, network=Perceptron(2), width=8, recipe=Recipe(epochs=epochs))


def resnet18() -> NarrowTraining:
    """The paper's network and recipe, on CIFAR-10 for CIFAR-100."""
    return NarrowTraining(
        images="cifar10", network=ResNet18(), width=64, recipe=Recipe(epochs=200, rate=0.1), augment=True, device="auto"
    )


claim = Claim(
    system="sparse-ift",
    says="At equal multiply-adds a wider network with sparse layers trained by RigL has a lower test loss than the dense one "
    "where capacity is short, and with a random mask that never moves it does not.",
    paper="ResNet-18 on ImageNet at equal FLOPs: +3.5 points of top-1 accuracy (arXiv 2303.11525, abstract)",
    arms=arms(),
    settings={
        "smoke": Setting(lambda: perceptron(epochs=10), budgets=(0.25,)),
        "small": Setting(perceptron, budgets=(0.5, 0.25, 0.1), seeds=16),
        "paper": Setting(resnet18, budgets=(0.5, 0.25, 0.1), seeds=3, arms=paper_arms()),
    },
    rule=rule,
    method="sparse-ift",
    at=lambda setting: 0.25,
    twins={f"random:{kind}": kind for kind in KINDS} | {f"random{width}": f"sparse-ift{width}" for width in (NARROW, MIDDLE)},
    beside=findings,
)
