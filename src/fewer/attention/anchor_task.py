"""Anchor attention on a model that echoes: what its columns keep of dense attention, and what the second copy then costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from fewer.attention.anchor import Anchor
from fewer.attention.columns import Columns
from fewer.attention.fidelity import density_from, fidelity
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Stripes
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention
from fewer.attention.settings import configure
from fewer.attention.watch import using, watched
from fewer.compare.task import Direction, Measurement, Task
from fewer.core import Budget, Density, Method, stream
from fewer.data import text
from fewer.data.trained.byte_tokens import encode
from fewer.data.trained.echo_lm import EchoRecipe, default_text_set, echo_batch, echo_lm, second_half_nll
from fewer.errors import MethodError

TURNS = 24  # halvings of an interval of 80 nats


@dataclass(frozen=True)
class EchoColumns(Task):
    """A budget is the density of layer 0 in the second half of the sequences (near cells included): theta is what gives it. All
    arms keep as many columns as anchor attention at that theta, in every head and group of every layer. A seed
    trains a model of its own and draws its own held-out sequences.
    """

    name: str = "echo-columns"
    recipe: EchoRecipe = field(default_factory=EchoRecipe)
    sequences: int = 16
    block: int = 16
    step: int = 2
    text: str = field(default_factory=default_text_set)

    @property
    def quality(self) -> Mapping[str, Direction]:
        last = self.recipe.layers - 1
        return {"recall_layer_0": "higher", f"recall_layer_{last}": "higher", "second_copy_nll": "lower"}

    @property
    def data(self) -> str:
        return (
            f"a byte model of {self.recipe.layers} layers, trained here on the calibration part of {self.text}; measured on "
            f"{self.sequences} sequences a seed of its test part: {self.recipe.length // 2} bytes, then the same again"
        )

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        if not isinstance(method, SparseAttention) or not isinstance(budget, Density):
            raise MethodError(f"{self.name} compares columns at a density; {method.slug} under {budget} chooses none.")
        model, batch = _subject(self, seed)
        calls = _calls(self, seed)
        theta = self._theta(calls[0], budget.share) if method.kind != "dense" else float("inf")
        arm = self._at(method, theta)
        quality: dict[str, float] = {}
        cost: dict[str, float] = {}
        for layer, inputs in enumerate(calls):
            if method.kind == "dense":
                quality[f"recall_layer_{layer}"], cost[f"density_layer_{layer}"] = 1.0, 1.0
                continue
            kept = fidelity(inputs, arm.choose(inputs, Memory()), start=self.recipe.length // 2)
            quality[f"recall_layer_{layer}"] = float(kept.recall.mean())
            cost[f"density_layer_{layer}"] = kept.density
        with using(model, arm):
            quality["second_copy_nll"] = second_half_nll(model, batch)
        cost["cells_kept"] = sum(cost[f"density_layer_{n}"] for n in range(len(calls))) * calls[0].cells
        return Measurement(quality=quality, cost=cost, detail={"facts": {"theta": theta}})

    def _theta(self, inputs: Inputs, density: float) -> float:
        """The theta at which the layer keeps that share of its cells, or the nearest below."""
        low, high = -40.0, 40.0
        found = self._anchor(0.0).measured(inputs, Memory())
        for _ in range(TURNS):
            middle = (low + high) / 2
            keys = Stripes(found >= -middle, self.block * self.step, self.block, self.block)
            low, high = (middle, high) if density_from(inputs, keys, self.recipe.length // 2) <= density else (low, middle)
        return low

    def _anchor(self, theta: float) -> Anchor:
        return Anchor(theta=theta, block=self.block, step=self.step, anchor="max")

    def _at(self, method: SparseAttention, theta: float) -> SparseAttention:
        if isinstance(method, Columns):
            return replace(method, of=self._anchor(theta))
        if isinstance(method, Anchor):
            return replace(method, theta=theta, block=self.block, step=self.step, anchor="max")
        return method

    def close(self) -> None:
        _subject.cache_clear()
        _calls.cache_clear()


@lru_cache(maxsize=1)
def _subject(task: EchoColumns, seed: int) -> tuple[Any, Tensor]:
    model = echo_lm(replace(task.recipe, seed=seed), task.text)
    tokens = encode(text.load(task.text, "test"))
    return model, echo_batch(tokens, task.sequences, task.recipe.length, stream(seed, "echo-columns"))


@lru_cache(maxsize=1)
def _calls(task: EchoColumns, seed: int) -> list[Inputs]:
    """What each layer's dense attention is given on the sequences of a seed."""
    model, batch = _subject(task, seed)
    calls: list[Inputs] = []
    with torch.inference_mode(), watched(configure(model, "dense"), lambda inputs, _: calls.append(inputs)):
        model(batch, use_cache=False)
    return calls
