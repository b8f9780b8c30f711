"""A grid of comparisons: models x lengths, each with arms x densities x seeds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fewer.attention.frontier.arms import TWINS, for_bytes, published
from fewer.attention.frontier.task import FrontierTask
from fewer.attention.method import SparseAttention
from fewer.compare.comparison import Comparison, Progress
from fewer.compare.result import Results
from fewer.core.registry import nearest
from fewer.data.trained.echo_lm import EchoRecipe
from fewer.errors import AttentionError


@dataclass(frozen=True)
class Study:
    """What is run. Samples of all seeds are pooled where arms are tested, so `samples` x `seeds` is what a test has."""

    models: tuple[str, ...] = ("smollm2-135m",)
    """Pretrained models; "bytes-64" is a small network of bytes 64 wide, trained when it is needed, one for each seed."""
    tasks: tuple[str, ...] = ("retrieval", "tracking", "frequent", "text")
    lengths: tuple[int, ...] = (1024,)
    budgets: tuple[float, ...] = (0.5, 0.25)
    arms: tuple[str, ...] = ()
    """All when empty. Dense is always there."""
    samples: int = 4
    seeds: int = 3
    text_set: str = ""
    dtype: str = "float32"
    device: str = "cpu"

    def comparisons(self) -> Iterator[Comparison]:
        """One for each model and length. Raises AttentionError for an arm or a size that is unknown."""
        for model in self.models:
            for length in self.lengths:
                yield Comparison(
                    name=f"sparse-frontier-{model.replace('/', '-')}-{length}",
                    task=self._task(model, length),
                    arms=(arms := self._arms(model, length)),
                    budgets=self.budgets,
                    seeds=range(self.seeds),
                    title=f"Sparse attention in {model} at {length} tokens",
                    twins={twin: of for twin, of in TWINS.items() if twin in arms},
                )

    def run(self, folder: str | Path | None = None, progress: Progress | None = None) -> list[Results]:
        """All of it; with a folder it resumes where it was cut off."""
        return [c.run(None if folder is None else Path(folder) / c.name, progress) for c in self.comparisons()]

    def _task(self, model: str, length: int) -> FrontierTask:
        task = FrontierTask(
            model=model,
            tasks=self.tasks,
            length=length,
            samples=self.samples,
            text_set=self.text_set,
            dtype=self.dtype,
            device=self.device,
        )
        if not model.startswith("bytes-"):
            return task
        width = model.removeprefix("bytes-")
        if not width.isdigit():
            raise AttentionError(f'"{model}" names no size; write bytes-64 for a network 64 wide.')
        return replace(task, recipe=EchoRecipe(hidden=int(width), intermediate=2 * int(width), length=length))

    def _arms(self, model: str, length: int) -> dict[str, SparseAttention]:
        known = for_bytes(length) if model.startswith("bytes-") else published()
        for name in self.arms:
            if name not in known:
                raise AttentionError(f'no arm is called "{name}"{nearest(name, known)}; allowed: {", ".join(known)}.')
        return {name: arm for name, arm in known.items() if name == "dense" or name in (self.arms or known)}


STUDIES = {
    "bytes": Study(("bytes-32", "bytes-64"), ("echo", "plain"), (256,), (0.6, 0.4, 0.25, 0.15), samples=32),
    "smollm2": Study(dtype="bfloat16"),
    "paper": Study(
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-14B-Instruct", "Qwen/Qwen2.5-32B-Instruct", "Qwen/Qwen2.5-72B-Instruct"),
        lengths=(16384, 32768, 65536, 131072),
        budgets=(0.5, 0.33, 0.2, 0.1, 0.05),
        samples=10,
        seeds=10,
        dtype="bfloat16",
        device="cuda",
    ),
}
"""By name, for the command line. "paper" is the study's grid: 100 samples a cell; tokens of one 72B model fill several GPUs."""
