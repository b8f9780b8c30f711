"""Perplexity of a causal language model with sparse inputs, on text that thresholds were not calibrated on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jaxtyping import Int
from torch import Tensor, nn

from fewer.activations.installing import restore, sparsify
from fewer.activations.kept_inputs import measure_inputs
from fewer.activations.method import InputMethod
from fewer.activations.report import on_all_tokens
from fewer.compare.task import Direction, Measurement, Task
from fewer.core import Budget, Density, Method, stream
from fewer.data import text
from fewer.data.models import load_causal_lm
from fewer.data.trained.byte_tokens import plain_batch
from fewer.errors import MethodError
from fewer.measure.quality import perplexity, windows


@dataclass(frozen=True)
class SparseInputsPerplexity(Task):
    """Calibrates on windows drawn by the seed, measures on fixed ones of the test part. The budget is the share of the weights
    that is read for a token (for cats: of the neurons).
    """

    name: str = "sparse-inputs-perplexity"
    model: str = "smollm2-135m"
    """A name that `fewer models list` knows, a folder, or a hub id."""
    text: str = "python-topics"
    text_source: str = "embedded"
    """Where it came from, for the report."""
    sequences: int = 8
    """Calibration sequences."""
    length: int = 512
    windows: int = 8
    """Test windows."""
    dense_prompt: float = 0.0
    """Share of each window's tokens, from its start, that are dense; the authors' evaluation has 0.9."""

    @classmethod
    def on_default_text(cls, **parameters: Any) -> "SparseInputsPerplexity":
        """On WikiText-2 where FEWER_DATA has it, else on the language reference that comes with Python."""
        found = text.default_text("test")
        return cls(text=found.name, text_source=found.source, **parameters)

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"nll": "lower", "perplexity": "lower"}

    @property
    def data(self) -> str:
        return (
            f"{self.model} calibrated on {self.sequences} x {self.length} tokens of {self.text} (calibration part, "
            f"{self.text_source}), measured on {self.windows} x {self.length} tokens of its test part, of which the last "
            f"{1 - self.dense_prompt:.0%} of each are sparse"
        )

    def depends_on_seed(self, method: Method) -> bool:
        return method.seeded or method.needs_data

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for a method that is not for inputs, or a budget that is no density."""
        if not isinstance(method, InputMethod) or not isinstance(budget, Density):
            raise MethodError(f"{self.name} makes inputs sparse to a density; {method.slug} under {budget} does not.")
        model, tokens, test = _subject(self)
        calibration = plain_batch(tokens, self.sequences, self.length, stream(seed, "calibration"))
        sparsify(model, method, round(1 - budget.share, 12), calibration, kernel=False)
        try:
            with on_all_tokens(model, self.dense_prompt):
                found = perplexity(model, test)
            kept = measure_inputs(model, test[:1], self.dense_prompt)
            sparsity: Any = model.input_sparsity
        finally:
            restore(model)
        return Measurement(
            quality={"nll": found.nll, "perplexity": found.perplexity},
            cost={"touched": kept.touched, "extra_bytes": float(sparsity.extra_bytes)},
            detail={"window_nlls": list(found.window_nll)},
        )

    def close(self) -> None:
        _subject.cache_clear()


@lru_cache(maxsize=1)
def _subject(task: SparseInputsPerplexity) -> tuple[nn.Module, Int[Tensor, " tokens"], Int[Tensor, "windows length"]]:
    """The dense model, the tokens to calibrate on, and the test."""
    model, tokenizer = load_causal_lm(task.model)
    train, test = (
        tokenizer(text.load(task.text, split), return_tensors="pt", verbose=False, add_special_tokens=False).input_ids[0]
        for split in ("calibration", "test")
    )
    return model.eval(), train, windows(test, task.length, task.windows)
