"""Copying: a small diffusion model of bytes sees a piece of text and generates it a second time."""

from dataclasses import dataclass, field
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor, nn

from fewer.attention.diffusion.generation_task import GenerationTask, Subject
from fewer.attention.diffusion.llada import LLaDA
from fewer.core import stream
from fewer.data import text
from fewer.data.trained.byte_tokens import encode, plain_batch
from fewer.data.trained.diffusion_lm import MASK, RECIPE, diffusion_lm
from fewer.data.trained.echo_lm import EchoRecipe, default_text_set


@dataclass(frozen=True)
class CopyTask(GenerationTask):
    """`copied` is the share of bytes that are right. A seed draws pieces of held-out text; the model is the same for all."""

    name: str = "copy"
    recipe: EchoRecipe = field(default_factory=lambda: RECIPE)
    text_set: str = ""
    """`default_text_set()` when empty."""
    sequences: int = 24
    steps: int = 32

    @property
    def data(self) -> str:
        found = text.read(self._set, "test")
        return (
            f"a diffusion model of bytes ({self.recipe.layers} layers of {self.recipe.hidden}, {self.recipe.steps} steps) "
            f"trained here on {self._set}; pieces of its test part ({found.source})"
        )

    @property
    def _set(self) -> str:
        return self.text_set or default_text_set()

    def configuration(self) -> dict[str, object]:
        """With the text set that an empty name stands for here."""
        return {**super().configuration(), "text_set": self._set}

    def subject(self) -> Subject:
        half = self.recipe.length // 2
        return Subject(_model(self.recipe, self._set), LLaDA(steps=self.steps, length=half, block=half), MASK)

    def prompts(self, seed: int) -> list[Int[Tensor, "batch prompt"]]:
        held_out = encode(text.load(self._set, "test"))
        return [plain_batch(held_out, self.sequences, self.recipe.length // 2, stream(seed, "pieces"))]

    def right(self, made: Int[Tensor, "batch length"], batch: int, seed: int) -> list[float]:
        same: Tensor = made == self.prompts(seed)[batch][: len(made)]
        return same.to(torch.float32).mean(1).tolist()


@lru_cache(maxsize=2)
def _model(recipe: EchoRecipe, text_set: str) -> nn.Module:
    return diffusion_lm(recipe, text_set)
