"""One model at one length: what a method in prefilling or decoding does to each task, at a density that is really reached."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from fewer.attention.families.family import Family
from fewer.attention.frontier.arms import phase_of
from fewer.attention.frontier.fitted import Call, calls, fitted
from fewer.attention.frontier.judged import judge, read_prompts
from fewer.attention.frontier.prompt import Prompt
from fewer.attention.frontier.sample import Sample
from fewer.attention.frontier.subject import Subject, subject
from fewer.attention.method import SparseAttention
from fewer.compare.task import Direction, Measurement, Task
from fewer.core.budget import Budget, Density
from fewer.core.method import Method
from fewer.core.one_thread import one_thread
from fewer.data import text
from fewer.data.trained.echo_lm import EchoRecipe, default_text_set
from fewer.errors import MethodError


@dataclass(frozen=True)
class FrontierTask(Task):
    """Budgets are densities: shares of the cells that dense attention has in the phase in which a method acts.

    A seed draws the samples, and is the seed of the network where one is trained (`recipe`). Budgets are fitted on one
    sample of the calibration text; `density` among the costs is what the samples themselves came to.
    """

    name: str = "sparse-frontier"
    model: str = "smollm2-135m"
    recipe: EchoRecipe | None = None
    """The small network of bytes to study instead."""
    tasks: tuple[str, ...] = ("retrieval", "tracking", "frequent", "text")
    length: int = 1024
    """Tokens of a sample."""
    samples: int = 4
    """Of each task, for each seed."""
    text_set: str = ""
    """The default text of the model's kind when empty."""
    dtype: str = "float32"
    device: str = "cpu"
    held: int = 48
    """Batches whose prompts are kept for the methods of decoding to share: 80 MB each for smollm2-135m at 1,024 tokens."""
    state: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def quality(self) -> Mapping[str, Direction]:
        nll: dict[str, Direction] = {f"nll:{task}": "lower" for task in self.tasks}
        return nll | {f"right:{task}": "higher" for task in self.tasks}

    @property
    def data(self) -> str:
        name = self.configuration()["text_set"]
        model = f"a network of bytes, {self.recipe.hidden} wide" if self.recipe else self.model
        return f"{model} on {', '.join(self.tasks)} of {self.length} tokens, made of {name} (test part)"

    def configuration(self) -> dict[str, Any]:
        """Without `state`, and with the text that an empty `text_set` stands for."""
        found = {name: value for name, value in super().configuration().items() if name not in ("state", "held")}
        return {**found, "text_set": self.text_set or (default_text_set() if self.recipe else text.default_text("test").name)}

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for an arm that is no attention, or a budget that is no density."""
        if not isinstance(method, SparseAttention) or not isinstance(budget, Density):
            raise MethodError(f"{self.name} compares attention; {method.slug} under {budget} is none.")
        with one_thread() if self.recipe else nullcontext():  # the small networks are faster so, and the same everywhere
            return self._measured(method, budget.share, seed)

    def _measured(self, method: SparseAttention, share: float, seed: int) -> Measurement:
        on = self._subject(seed)
        phase = phase_of(method)
        facts: dict[str, float] = {}
        if isinstance(method, Family):
            method = self._fitted(on, method, share, phase, seed)
            facts = {k: v for k, v in method.configuration().items() if isinstance(v, int | float)}
        quality, items, by_task = {}, {}, {}
        kept = cells = attention = scoring = tokens = 0.0
        for task in self.tasks:
            samples = on.samples(task, self.length, self.samples, seed)
            judged = judge(on.model, samples, method, phase, self._prompts(task, seed))
            for name, values in (("nll", judged.nll), ("right", judged.right)):
                items[f"{name}:{task}"] = values
                quality[f"{name}:{task}"] = sum(values) / len(values)
            by_task[task] = judged.density
            kept, cells = kept + sum(c.kept for c in judged.counted), cells + sum(c.cells for c in judged.counted)
            attention += sum(c.attention_flops for c in judged.counted)
            scoring += sum(c.scoring_flops for c in judged.counted)
            tokens += judged.tokens
        count = self.samples * len(self.tasks)
        linear = dense_flops(on.model) * tokens
        cost = {
            "density": kept / cells,
            "flops": (linear + attention + scoring) / count,
            "attention_flops": attention / count,
            "scoring_flops": scoring / count,
        }
        facts |= {f"density:{task}": value for task, value in by_task.items()}
        return Measurement(quality, cost, {"items": items, "facts": facts, "phase": phase})

    def _subject(self, seed: int) -> Subject:
        recipe = replace(self.recipe, seed=seed) if self.recipe else None
        return subject(self.model, recipe, self.text_set, self.dtype, self.device)

    def _fitted(self, on: Subject, method: Family, share: float, phase: str, seed: int) -> Family:
        """Seeds of a pretrained model share a budget; trained networks have their own."""
        key = (phase, seed if self.recipe else 0)
        known: dict[Any, list[Call]] = self.state.setdefault("calls", {})
        if key not in known:
            if self.recipe:
                known.clear()
            sample = on.samples(self.tasks[0], self.length, 1, 0, "calibration")[0]
            known[key] = calls(on.model, sample, phase)
        sizes = self.state.setdefault("sizes", {})
        asked = (*key, str(method.configuration()), share)
        if asked not in sizes:
            sizes[asked] = fitted(method, share, known[key])
        return sizes[asked].with_seed(method.seed)

    def _prompts(self, task: str, seed: int) -> Any:
        held: dict[Any, Prompt] = self.state.setdefault("prompts", {})
        numbers = iter(range(1_000_000))

        def read(model: nn.Module, batch: Sequence[Sample]) -> Prompt:
            key = (task, seed, next(numbers))
            prompt = held.pop(key, None) or read_prompts(model, batch)
            held[key] = prompt  # the latest last
            while len(held) > max(1, self.held):
                del held[next(iter(held))]
            return prompt

        return read

    def close(self) -> None:
        """Drop models, prompts and calls."""
        self.state.clear()
        subject.cache_clear()


def dense_flops(model: nn.Module) -> float:
    """FLOPs of all linear layers for one token."""
    return 2.0 * sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
