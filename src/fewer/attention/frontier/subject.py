"""The model that is studied, with the text that its tasks are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from fewer.attention.frontier import byte_tasks, text_tasks
from fewer.attention.frontier.sample import Sample
from fewer.data import models, text
from fewer.data.trained.byte_tokens import encode
from fewer.data.trained.echo_lm import EchoRecipe, default_text_set, echo_lm
from fewer.errors import AttentionError


@dataclass(frozen=True, eq=False)
class Subject:
    """A causal language model on its device; `tokenizer` is None for one of bytes."""

    model: nn.Module
    tokenizer: Any
    text_set: str

    def samples(self, task: str, length: int, count: int, seed: int, split: text.Split = "test") -> Sequence[Sample]:
        """`count` samples drawn by `seed`; the same for every method.

        Raises AttentionError for a task that this kind of model does not have.
        """
        known: Any = text_tasks.TASKS if self.tokenizer is not None else byte_tasks.TASKS
        if task not in known:
            raise AttentionError(f'no task of this model is called "{task}"; allowed: {", ".join(known)}.')
        whole = text.load(self.text_set, split)
        source: Any = text_tasks.words_of(self.tokenizer, whole) if self.tokenizer is not None else encode(whole)
        rng = np.random.default_rng([seed, *task.encode()])
        return [known[task](source, length, rng) for _ in range(count)]


@lru_cache(maxsize=2)
def subject(
    name: str, recipe: EchoRecipe | None = None, text_set: str = "", dtype: str = "float32", device: str = "cpu"
) -> Subject:
    """The network of `recipe` (trained now, unless it was before), or else the pretrained model called `name`."""
    if recipe is not None:
        chosen = text_set or default_text_set()
        return Subject(echo_lm(recipe, chosen).to(device), None, chosen)  # type: ignore[arg-type]
    model, tokenizer = models.load_causal_lm(name, dtype=getattr(torch, dtype))
    return Subject(model.to(device), tokenizer, text_set or text.default_text("test").name)  # type: ignore[arg-type]
