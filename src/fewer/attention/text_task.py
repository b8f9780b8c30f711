"""Columns of anchor attention, and other ways to choose as many, in a language model on running text."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.anchor import Anchor
from fewer.attention.columns import Columns
from fewer.attention.fidelity import fidelity
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Stripes
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention
from fewer.attention.settings import configure
from fewer.attention.watch import using, watched
from fewer.compare.task import Direction, Measurement, Task
from fewer.core import Budget, Density, Method, stream
from fewer.data import text
from fewer.errors import AttentionError, MethodError
from fewer.measure.quality import long_nll

THETAS = tuple(t / 2 for t in range(-20, 61))


@dataclass(frozen=True)
class TextColumns(Task):
    """A budget is the mean density over layers and heads, near columns included: one theta for all layers is what gives it. All
    arms keep as many columns, in every head and group. A seed draws another window of the text.
    """

    name: str = "text-columns"
    model: str = "smollm2-135m"
    text: str = field(default_factory=lambda: text.default_text("test").name)
    length: int = 4096
    """Tokens of a window."""
    anchor: Anchor = field(default_factory=Anchor)
    every: int = 16
    """Recall is taken on one of so many runs of queries."""

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"recall": "higher", "recall_worst_layer": "higher", "nll": "lower"}

    @property
    def data(self) -> str:
        return f"{self.model} on a window a seed of {self.length} tokens of {self.text}'s test part"

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        if not isinstance(method, SparseAttention) or not isinstance(budget, Density):
            raise MethodError(f"{self.name} compares columns at a density; {method.slug} under {budget} chooses none.")
        model = _model(self.model)[0]
        tokens = _window(self, seed)
        if method.kind == "dense":
            with using(model, method):
                nll = long_nll(model, tokens)
            return Measurement({"recall": 1.0, "recall_worst_layer": 1.0, "nll": nll}, {"density": 1.0})
        by_theta = _densities(self, seed)
        theta = THETAS[max(0, int((by_theta.mean(0) <= budget.share).sum()) - 1)]
        arm = self._at(method, theta)
        recalls, densities = [], []

        def watch(inputs: Inputs, _: Tensor) -> None:
            kept = fidelity(inputs, arm.choose(inputs, Memory()), self.every)
            recalls.append(float(kept.recall.mean()))
            densities.append(kept.density)

        configure(model, "dense")
        with torch.inference_mode(), watched(model, watch):
            model.base_model(tokens, use_cache=False)
        with using(model, arm):
            nll = long_nll(model, tokens)
        return Measurement(
            {"recall": sum(recalls) / len(recalls), "recall_worst_layer": min(recalls), "nll": nll},
            {"density": sum(densities) / len(densities)},
            {"facts": {"theta": theta}},
        )

    def _at(self, method: SparseAttention, theta: float) -> SparseAttention:
        own = replace(self.anchor, theta=theta)
        if isinstance(method, Columns):
            return replace(method, of=own)
        return own.random_twin().with_seed(method.seed) if method.kind == "random" else own  # type: ignore[return-value]

    def close(self) -> None:
        for kept in (_model, _window, _densities):
            kept.cache_clear()


@lru_cache(maxsize=1)
def _model(name: str) -> tuple[Any, Any]:
    from fewer.data.models import load_causal_lm

    return load_causal_lm(name)


@lru_cache(maxsize=1)
def _window(task: TextColumns, seed: int) -> Int[Tensor, "1 length"]:
    ids = _model(task.model)[1](text.load(task.text, "test"), return_tensors="pt").input_ids
    if ids.shape[1] < task.length:
        raise AttentionError(f"{task.text} has {ids.shape[1]} tokens in its test part; {task.length} are asked for.")
    start = int(torch.randint(ids.shape[1] - task.length + 1, (1,), generator=stream(seed, "windows")))
    return ids[:, start : start + task.length]


@lru_cache(maxsize=1)
@torch.inference_mode()
def _densities(task: TextColumns, seed: int) -> Float[Tensor, "layers thetas"]:
    """Density that each theta gives in each layer's dense inputs."""
    model, own = _model(task.model)[0], task.anchor
    found: list[list[float]] = []

    def watch(inputs: Inputs, _: Tensor) -> None:
        measured = own.measured(inputs, Memory())
        sets = [Stripes(measured >= -theta, own.group, own.block, own.block) for theta in THETAS]
        found.append([keys.density(inputs) for keys in sets])

    with watched(configure(model, "dense"), watch):
        model.base_model(_window(task, seed), use_cache=False)
    return torch.tensor(found)
