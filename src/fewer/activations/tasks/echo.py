"""A small model of bytes that reads text and copies it: what sparse inputs cost in either."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import fmean

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewer.activations.installing import restore, sparsify
from fewer.activations.kept_inputs import measure_inputs
from fewer.activations.method import InputMethod
from fewer.activations.report import on_all_tokens
from fewer.compare.task import Direction, Measurement, Task
from fewer.core import Budget, Density, Method, stream
from fewer.core.one_thread import one_thread
from fewer.data import text
from fewer.data.trained.byte_tokens import encode, plain_batch
from fewer.data.trained.echo_lm import EchoRecipe, default_text_set, echo_batch, echo_lm
from fewer.errors import MethodError


@dataclass(frozen=True)
class EchoInputs(Task):
    """Each seed trains a network of its own, calibrates on plain sequences of its training text, and is measured on echo of the
    test part: the loss of the first copy is that of plain text, the loss of the second that of looking back. Every token is
    sparse: stricter than the paper, whose prompts are dense.
    """

    name: str = "echo-inputs"
    recipe: EchoRecipe = field(default=EchoRecipe())
    """Of the network; the seed is the cell's."""
    text: str = "python-topics"
    sequences: int = 8
    """Plain sequences that thresholds are calibrated on."""
    tested: int = 64
    """Echo sequences of the test part."""

    @classmethod
    def on_default_text(cls, **parameters: object) -> "EchoInputs":
        """On Tiny Shakespeare where FEWER_DATA has it, else on the language reference that comes with Python."""
        return cls(text=default_text_set(), **parameters)  # type: ignore[arg-type]

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"plain": "lower", "echo": "lower"}

    @property
    def data(self) -> str:
        return (
            f"a Llama of {self.recipe.layers} layers and width {self.recipe.hidden} a seed, trained for {self.recipe.steps} "
            f"steps on bytes of {self.text} (train part), thresholds from {self.sequences} x {self.recipe.length} of them; "
            f"measured on {self.tested} echo sequences of its test part, every token sparse"
        )

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for a method that is not for inputs, or a budget that is no density."""
        if not isinstance(method, InputMethod) or not isinstance(budget, Density):
            raise MethodError(f"{self.name} makes inputs sparse to a density; {method.slug} under {budget} does not.")
        with one_thread():
            model, calibration, test = _subject(self, seed)
            sparsify(model, method, round(1 - budget.share, 12), calibration, kernel=False)
            try:
                plain, echo = _losses(model, test)
                kept = measure_inputs(model, test[:8])
                layers = model.input_sparsity.layers  # type: ignore[union-attr]
            finally:
                restore(model)
        ranks = [layer.rank for layer in layers]  # type: ignore[union-attr]
        return Measurement(
            quality={"plain": plain, "echo": echo},
            cost={"touched": kept.touched, "inputs_kept": fmean(kept.inputs.values())},
            detail={"facts": {"lowest_rank": min(ranks), "highest_rank": max(ranks)}},
        )

    def close(self) -> None:
        _subject.cache_clear()


@lru_cache(maxsize=4)
def _subject(task: EchoInputs, seed: int) -> tuple[nn.Module, Int[Tensor, "sequences length"], Int[Tensor, "tested length"]]:
    """The dense network of a seed, its calibration data, and the test."""
    model = echo_lm(replace(task.recipe, seed=seed), task.text)
    train, test = (encode(text.load(task.text, split)) for split in ("calibration", "test"))
    length = task.recipe.length
    return (
        model,
        plain_batch(train, task.sequences, length, stream(seed, "calibration")),
        echo_batch(test, task.tested, length, stream(seed, "test")),
    )


@torch.inference_mode()
def _losses(model: nn.Module, test: Int[Tensor, "tested length"]) -> tuple[float, float]:
    """Nats a byte of the first copy and of the second."""
    half = test.shape[1] // 2
    with on_all_tokens(model):
        logits = torch.cat([model(input_ids=part, use_cache=False).logits for part in test.split(16)])
    losses = cross_entropy(logits[:, :-1].flatten(0, 1), test[:, 1:].flatten(), reduction="none").view(len(test), -1)
    return float(losses[:, : half - 1].mean()), float(losses[:, half - 1 :].mean())
