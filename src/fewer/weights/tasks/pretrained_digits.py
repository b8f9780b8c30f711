"""Pruning perceptrons that were trained dense on scikit-learn's digits: a post-training task of seconds."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewer.compare.task import Direction, Measurement, Task
from fewer.core import Budget, Density, Method, stream
from fewer.core.one_thread import one_thread
from fewer.errors import MethodError
from fewer.measure.quality import classification
from fewer.weights.prune import prune
from fewer.weights.pruner import Pruner
from fewer.weights.tasks.digits import digits, perceptron
from fewer.weights.tasks.measured import costs, detected, draw_histograms, layer_table
from fewer.weights.walk import Batch, Mode

HIDDEN, HEAD = ("0", "2"), "4"  # of `perceptron`
ROUNDS = 30  # of timing: a forward takes less than a tenth of a millisecond


@dataclass(frozen=True)
class PretrainedDigits(Task):
    """Prunes both hidden layers of a perceptron 64-256-256-10 and tests it; the 10-way head stays dense.

    A seed fixes initial weights and order of the training data, so each seed prunes a network of its own. Calibration is
    on all training images at once.
    """

    name: str = "pretrained-digits"
    width: int = 256
    epochs: int = 60
    rate: float = 1e-3
    """Of Adam, constant."""
    batch: int = 64
    """Images a training step, and in a timed forward pass."""
    mode: Mode = "layer"

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"accuracy": "higher", "nll": "lower", "ece": "lower"}

    @property
    def data(self) -> str:
        return (
            "scikit-learn's digits, 1,797 images of 8 x 8: 1,078 to train and calibrate on, 719 to test; "
            f"perceptrons 64-{self.width}-{self.width}-10, one a seed"
        )

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for a method that does not prune, or a budget that is no density."""
        if not isinstance(method, Pruner) or not isinstance(budget, Density):
            raise MethodError(f"{self.name} prunes trained networks to a density; {method.slug} under {budget} does not.")
        found = digits()
        histograms: dict[str, Any] = {}
        with one_thread():
            dense = _trained(self, seed)
            model = prune(
                copy.deepcopy(dense),
                method,
                density=budget.share,
                calibration=[found.train_x] if method.needs_data else None,
                exclude=(HEAD,),
                mode=self.mode,
                loss=_training_loss,
                watch=draw_histograms(method, list(HIDDEN), histograms) if seed == 0 else None,
            )
            with torch.inference_mode():
                tested = classification(model(found.test_x), found.test_y)._asdict()
            cost, facts = costs(model, dense, found.test_x[: self.batch], ROUNDS)
        pruning = model.fewer
        return Measurement(
            quality={name: tested[name] for name in self.quality},
            cost=cost,
            detail={
                "layers": layer_table(pruning, histograms),  # type: ignore[arg-type]
                "facts": {**facts, "worst_class": tested["worst_class"]},
                "detected": detected(pruning.selections),  # type: ignore[union-attr, arg-type]
            },
        )

    def close(self) -> None:
        _trained.cache_clear()


@lru_cache(maxsize=64)
def _trained(task: PretrainedDigits, seed: int) -> nn.Module:
    """The dense network of a seed, in evaluation mode."""
    found, order = digits(), stream(seed, "order")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = perceptron(task.width)
    optimizer = torch.optim.Adam(model.parameters(), task.rate)
    for _ in range(task.epochs):
        for part in torch.randperm(len(found.train_y), generator=order).split(task.batch):
            optimizer.zero_grad()
            cross_entropy(model(found.train_x[part]), found.train_y[part]).backward()
            optimizer.step()
    return model.eval()


def _training_loss(model: nn.Module, images: Batch) -> Tensor:
    """Cross-entropy over the whole training part, for scores that need a gradient."""
    return cross_entropy(model(images), digits().train_y)
