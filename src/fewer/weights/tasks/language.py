"""Perplexity of a pruned causal language model on text that it was not calibrated on."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn

from fewer.compare.task import Direction, Measurement, Task
from fewer.core import Budget, Density, Method
from fewer.data import text
from fewer.errors import CalibrationError, MethodError
from fewer.measure.quality import perplexity
from fewer.weights.calibration import draw_windows, spread_windows, text_of, tokens_of
from fewer.weights.layers import find_layers
from fewer.weights.prune import prune
from fewer.weights.pruner import Pruner
from fewer.weights.tasks.measured import costs, detected, draw_histograms, layer_table
from fewer.weights.walk import Mode

DRAWN = 12  # layers whose scores are drawn in a report
TIMED = 64  # tokens of the forward that is timed and whose FLOPs are counted


class Subject(NamedTuple):
    """A model before pruning, and the texts."""

    model: nn.Module
    """Pruned over and over; its weights are put back from `dense` each time."""
    dense: nn.Module
    calibration: Int[Tensor, " tokens"]
    test: Int[Tensor, "windows length"]


@dataclass(frozen=True)
class LanguageModelPerplexity(Task):
    """Calibrates on windows of one text drawn by the seed, measures on fixed windows of another, spread over all of it."""

    name: str = "language-model-perplexity"
    model: str = "smollm2-135m"
    """A name that `fewer models list` knows, a folder, or a hub id; "tiny-bytes" is trained here."""
    text: str = "wikitext2"
    """A set that `fewer data list` knows, with a calibration and a test part."""
    text_source: str = "folder"
    """Where it came from, for the report."""
    sequences: int = 16
    """Calibration sequences."""
    length: int = 512
    """Tokens a sequence or window."""
    windows: int = 8
    """Test windows."""
    mode: Mode = "layer"
    exclude: tuple[str, ...] = ()

    @classmethod
    def on_default_text(cls, **parameters: Any) -> "LanguageModelPerplexity":
        """On WikiText-2 where FEWER_DATA has it, else on the language reference that comes with Python."""
        found = text.default_text("test")
        return cls(text=found.name, text_source=found.source, **parameters)

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"nll": "lower", "perplexity": "lower"}  # nats first: a few seeds have a spread in them, not in perplexity

    @property
    def data(self) -> str:
        return (
            f"{self.model} calibrated on {self.sequences} x {self.length} tokens of {self.text} (calibration part, "
            f"{self.text_source}), measured on {self.windows} x {self.length} tokens of its test part"
        )

    def depends_on_seed(self, method: Method) -> bool:
        return method.seeded or method.needs_data

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        if not isinstance(method, Pruner) or not isinstance(budget, Density):
            raise MethodError(f"{self.name} prunes trained models to a density; {method.slug} under {budget} does not.")
        subject = _subject(self)
        model = subject.model
        _restore(model, subject.dense)
        names = list(find_layers(model, exclude=self.exclude))
        histograms: dict[str, Any] = {}
        prune(
            model,
            method,
            density=budget.share,
            calibration=draw_windows(subject.calibration, self.sequences, self.length, seed) if method.needs_data else None,
            exclude=self.exclude,
            mode=self.mode,
            watch=draw_histograms(method, names[:: max(1, len(names) // DRAWN)], histograms) if seed == 0 else None,
        )
        measured = perplexity(model, subject.test)
        cost, facts = costs(model, subject.dense, subject.test[:1, :TIMED])
        pruning = model.fewer
        return Measurement(
            quality={"nll": measured.nll, "perplexity": measured.perplexity},
            cost=cost,
            detail={
                "layers": layer_table(pruning, histograms),  # type: ignore[arg-type]
                "facts": {**facts, "nll": measured.nll},
                "detected": detected(pruning.selections),  # type: ignore[union-attr, arg-type]
                "window_nlls": list(measured.window_nll),
            },
        )

    def close(self) -> None:
        _subject.cache_clear()


@lru_cache(maxsize=1)
def _subject(task: LanguageModelPerplexity) -> Subject:
    if not text_of(task.text, "test")[0]:
        raise CalibrationError(f"{task.text} is one text file, with no part held out; name a set: `fewer data list`.")
    model, encode = _load(task)
    context = getattr(model.config, "max_position_embeddings", task.length)
    if task.length > context:
        raise CalibrationError(f"{task.model} reads {context} tokens at once; length={task.length} is asked for. Lower it.")
    calibration, test = (encode(text_of(task.text, split)[1]) for split in ("calibration", "test"))
    return Subject(model, copy.deepcopy(model), calibration, spread_windows(test, task.length, task.windows))


def _load(task: LanguageModelPerplexity) -> tuple[nn.Module, Callable[[str], Tensor]]:
    if task.model == "tiny-bytes":
        from fewer.weights.tasks.tiny_bytes import encode, trained

        return trained(task.text), encode
    from fewer.data.models import load_causal_lm

    model, tokenizer = load_causal_lm(task.model)
    return model.eval(), partial(tokens_of, tokenizer)


@torch.no_grad()
def _restore(model: nn.Module, dense: nn.Module) -> None:
    for mine, original in zip(model.parameters(), dense.parameters(), strict=True):
        mine.copy_(original)
