"""A needle in a haystack: a number is told somewhere in a long text, and asked for at its end (RULER's simplest task)."""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from fewer.attention.diffusion.generation_task import GenerationTask, Subject
from fewer.attention.diffusion.load import Loaded, load
from fewer.core import stream
from fewer.data import text

CHARACTERS = 3.5
"""Of English text in a token, about."""


@dataclass(frozen=True)
class NeedleTask(GenerationTask):
    """`copied` is the share of questions whose answer holds the number. A seed draws texts, places and numbers."""

    name: str = "needle"
    checkpoint: str = "GSAI-ML/LLaDA-1.5"
    trust_remote_code: bool = False
    """Run the checkpoint's Python files: read them first."""
    tokens: int = 4096
    """Of text, about."""
    questions: int = 20
    steps: int = 128
    length: int = 128
    compared: int = 2

    @property
    def data(self) -> str:
        found = text.default_text("test")
        return f"{self.checkpoint}: numbers hidden in about {self.tokens:,} tokens of {found.name} ({found.source})"

    def subject(self) -> Subject:
        loaded = _loaded(self.checkpoint, self.trust_remote_code)
        sampler = replace(loaded.sampler, steps=self.steps, length=self.length)
        return Subject(loaded.model, sampler, loaded.model.config.mask_token_id)  # type: ignore[arg-type,union-attr]

    def prompts(self, seed: int) -> list[Int[Tensor, "1 prompt"]]:
        loaded = _loaded(self.checkpoint, self.trust_remote_code)
        device = next(loaded.model.parameters()).device
        asked = [_asked(loaded, self.question(number, seed)) for number in range(self.questions)]
        return [loaded.tokenizer(one, return_tensors="pt")["input_ids"].to(device) for one in asked]

    def question(self, number: int, seed: int) -> str:
        """One prompt."""
        size = round(self.tokens * CHARACTERS)
        hay = text.default_text("test").text
        draws = stream(seed, "needle", number)
        start = int(torch.randint(max(1, len(hay) - size), (1,), generator=draws))
        piece = hay[start : start + size]
        place = int(torch.randint(len(piece), (1,), generator=draws))
        needle = f" The special magic number is {self.number(number, seed)}. "
        asked = "\n\nWhat is the special magic number in the text above? Answer with the number."
        return piece[:place] + needle + piece[place:] + asked

    def number(self, number: int, seed: int) -> str:
        """Seven digits."""
        return str(int(torch.randint(10**6, 10**7, (1,), generator=stream(seed, "number", number))))

    def right(self, made: Int[Tensor, "1 length"], batch: int, seed: int) -> list[float]:
        said = _loaded(self.checkpoint, self.trust_remote_code).tokenizer.decode(made[0].tolist())
        return [float(self.number(batch, seed) in said)]


def _asked(loaded: Loaded, question: str) -> str:
    """As the model was taught to be asked, where its tokenizer says how."""
    if not getattr(loaded.tokenizer, "chat_template", None):
        return question
    turns = [{"role": "user", "content": question}]
    return str(loaded.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


@lru_cache(maxsize=1)
def _loaded(checkpoint: str, trusted: bool) -> Loaded:
    loaded = load(checkpoint, trust_remote_code=trusted)
    return loaded._replace(model=loaded.model.to("cuda" if torch.cuda.is_available() else "cpu"))
