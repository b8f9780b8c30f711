"""Training on scikit-learn's digits: the small common ground on which sparse training methods are compared."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fewer.compare.task import Direction, Measurement, Task
from fewer.core import Budget, Density, Method, stream
from fewer.core.detect import detect
from fewer.core.one_thread import one_thread
from fewer.data.images import load
from fewer.data.split import shuffled
from fewer.errors import BudgetError, MethodError
from fewer.measure.latency import interleaved
from fewer.measure.quality import classification
from fewer.weights.effective import effective
from fewer.weights.networks.perceptron import perceptron as chain_of
from fewer.weights.training.at_width import AtWidth
from fewer.weights.training.chain import forward, links
from fewer.weights.training.methods import (
    SET,
    DenseTraining,
    MagnitudeFinetuned,
    NeuronsFinetuned,
    RandomPruning,
    RigL,
    SmallDense,
)
from fewer.weights.training.moment import active, full
from fewer.weights.training.problem import Problem, Recipe
from fewer.weights.training.trainer import Trained, Trainer
from fewer.weights.training.updates import Updates

OFTEN = Updates(every=10)  # 26 updates in the 360 steps of 40 epochs

ARMS: dict[str, Trainer] = {
    "dense": DenseTraining(),
    "dense-longer": DenseTraining(extra=1.0),
    "magnitude-oneshot": MagnitudeFinetuned(extra=0.0),
    "magnitude-finetuned": MagnitudeFinetuned(),
    "small-dense": SmallDense(fit="nearest"),
    "neurons-finetuned": NeuronsFinetuned(),
    "random": RandomPruning(),
    "random-4x": RandomPruning(length=4.0),
    "set": SET(updates=OFTEN),
    "set-4x": SET(length=4.0, updates=OFTEN),
    "rigl": RigL(updates=OFTEN),
    "rigl-4x": RigL(length=4.0, updates=OFTEN),
}
"""The twelve arms of the ten-lessons comparison; `random` is the static random mask."""

LONGEST = 4.0  # equal training FLOPs may take more epochs than anyone would wait for


class Digits(NamedTuple):
    """1,797 images of 8 x 8, grey levels in [0, 1], in a fixed 60/40 split."""

    train_x: Float[Tensor, "1078 64"]
    train_y: Int[Tensor, " 1078"]
    test_x: Float[Tensor, "719 64"]
    test_y: Int[Tensor, " 719"]


@cache
def digits() -> Digits:
    images = load("digits")
    x = torch.from_numpy(np.concatenate([images.train_x, images.test_x])).flatten(1)
    y = torch.from_numpy(np.concatenate([images.train_y, images.test_y]))
    train, test = map(torch.from_numpy, shuffled(len(y), test=719))
    return Digits(x[train], y[train], x[test], y[test])


def perceptron(width: int) -> nn.Sequential:
    """64 - width - width - 10 with ReLU."""
    return chain_of(64, width, width, 10)


@dataclass(frozen=True)
class DigitsTraining(Task):
    """Trains a perceptron 64-128-128-10 with each method and tests it: quality, cost, and all facts for the ten lessons.

    A seed fixes initial weights, order of the data and mask. The facts of a sparse arm need other networks (a small dense
    one, random masks, the same for longer), which are trained for the same seed and kept until `close`.
    """

    name: str = "digits-training"
    epochs: int = 40
    width: int = 128
    rounds: int = 40
    """Rounds of timing."""
    batch: int = 64
    """Samples in a timed forward pass."""

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"accuracy": "higher", "nll": "lower", "ece": "lower", "worst_class": "higher"}

    @property
    def data(self) -> str:
        return "scikit-learn's digits, 1,797 images of 8 x 8: 1,078 to train, 719 to test"

    @property
    def problem(self) -> Problem:
        found = digits()
        return Problem(found.train_x, found.train_y, perceptron, self.width, Recipe(epochs=self.epochs))

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for a method that does not train, BudgetError for a budget that is no density."""
        if not isinstance(method, Trainer):
            raise MethodError(
                f"{type(method).__name__} does not train, and {self.name} compares training methods: "
                f"one of {', '.join(ARMS)}, or any Trainer."
            )
        if not isinstance(budget, Density):
            raise BudgetError(f"{self.name} needs a density, such as Density(0.05), not {budget}.")
        if isinstance(method, AtWidth):
            return replace(self, width=method.width).measure(method.trainer, budget, seed)
        arm: Trainer = replace(method, seed=seed)
        density = 1.0 if method.kind == "dense" else budget.share
        with one_thread():
            trained = _trained(self, arm, density)
            tested = _tested(self, arm, density)
            facts = self._facts(arm, density, trained) | self._latencies(arm, trained)
        quality = {name: tested[name] for name in self.quality}
        kept = active(trained.masks)
        cost = {
            "weights": float(kept),
            "flops": 2.0 * kept,
            "latency_ms": facts["latency_ms"],
            "train_macs": facts["train_macs"],
        }
        # A sliced network lacks the columns of units that are gone; whether rows are whole shows on what is left.
        seen = {n: m[:, m.any(0)] if arm.form == "sliced" else m for n, m in trained.masks.items()}
        layers = [{"name": n, "shape": list(m.shape), "density": float(m.float().mean())} for n, m in trained.masks.items()]
        detected = {n: detect(m) for n, m in seen.items()}
        return Measurement(quality, cost, {"layers": layers, "facts": facts, "detected": detected})

    def close(self) -> None:
        _trained.cache_clear()
        _tested.cache_clear()

    def _facts(self, arm: Trainer, density: float, trained: Trained) -> dict[str, float]:
        record, masks = trained.record, list(trained.masks.values())
        biases = [module.bias for module in trained.model.modules() if isinstance(module, nn.Linear)]
        parameters = sum(p.numel() for p in perceptron(self.width).parameters())
        unmasked = sum(p.numel() for p in trained.model.parameters()) - sum(m.numel() for m in masks)
        reach = effective(masks, biases)
        facts = {
            "macs_active": reach.active,
            "macs_dense": record.size,
            "peak_density": record.peak_density,
            "train_macs": record.macs,
            "memory_peak": record.peak_bytes,
            "r_itop": record.r_itop,
            "churn": record.churn,
            "nominal_density": reach.active / record.size,
            "total_density": (reach.active + unmasked) / parameters,
            "effective_density": reach.effective / record.size,
            "robust": _tested(self, arm, density)["robust"],
        }
        if arm.kind != "dense":
            others = self._others(arm, record.size / max(1, reach.active))
            facts |= {name: _tested(self, other, density)["accuracy"] for name, other in others.items()}
        return {name: float(value) for name, value in facts.items()}

    def _others(self, arm: Trainer, shrunk: float) -> dict[str, Trainer]:
        """The networks that an arm is held against, by fact."""
        extra, seed = arm.epochs - arm.length, arm.seed
        others: dict[str, Method] = {
            "dense_equal_epochs": DenseTraining(arm.length, extra, seed=seed),
            "at_equal_flops": arm.stretched(min(LONGEST, shrunk)),
            "dense_at_equal_flops": DenseTraining(1.0, extra, seed=seed),
            "small_dense": SmallDense(arm.epochs, seed=seed),
        }
        if arm.kind != "random" and arm.pattern != "dense":
            others |= {"random_same_ratios": arm.random_twin(), "random_uniform": arm.uniform_twin()}
        return others  # type: ignore[return-value]

    def _latencies(self, arm: Trainer, trained: Trained) -> dict[str, float]:
        whole = perceptron(self.width)
        own = forward(links(trained.model, trained.masks), arm.form)  # type: ignore[arg-type]
        dense = forward(links(whole, full(whole)), "dense")
        x = digits().test_x[: self.batch].contiguous()
        with torch.inference_mode():
            times = interleaved({"dense": lambda: dense(x), "own": lambda: own(x)}, self.rounds)
        return {"latency_ms": 1e3 * times["own"].median, "latency_ms_dense": 1e3 * times["dense"].median}


@lru_cache(maxsize=1024)
def _trained(task: DigitsTraining, arm: Trainer, density: float) -> Trained:
    return arm.train(task.problem, 1.0 if arm.kind == "dense" else density)


@lru_cache(maxsize=1024)
def _tested(task: DigitsTraining, arm: Trainer, density: float) -> dict[str, float]:
    model, found = _trained(task, arm, 1.0 if arm.kind == "dense" else density).model, digits()
    noisy = found.test_x + 0.1 * torch.randn(found.test_x.shape, generator=stream(arm.seed, "noise"))
    with torch.inference_mode():
        tested = classification(model(found.test_x), found.test_y)._asdict()
        return {**tested, "robust": float((model(noisy).argmax(1) == found.test_y).float().mean())}
