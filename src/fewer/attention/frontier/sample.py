"""A question to a language model: tokens, and which of them are judged."""

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from fewer.errors import AttentionError


@dataclass(frozen=True, eq=False)
class Sample:
    """The prompt, then what is decoded: by teacher forcing, so an answer is right when greedy decoding would give it."""

    tokens: Int[Tensor, " tokens"]
    start: int
    """First token that is decoded; those before it are the prompt."""
    asked: tuple[int, ...]
    """Tokens that are judged, none before `start`."""
    accepted: tuple[tuple[int, ...], ...]
    """For each of them the ids that count as right."""
    answers: tuple[int, ...]
    """For each of them the answer that it belongs to, counted from 0: one wrong token makes it wrong."""
    running: bool = False
    """Running text: methods of prefilling read all of it, the judged part too, and not the prompt alone."""

    def __post_init__(self) -> None:
        lengths = {len(self.asked), len(self.accepted), len(self.answers)}
        if len(lengths) != 1 or not self.asked or self.start < 2 or min(self.asked) < self.start or not all(self.accepted):
            raise AttentionError(
                f"a sample of {len(self.tokens)} tokens, decoded from {self.start} on, asks for {len(self.asked)} tokens with "
                f"{len(self.accepted)} sets of accepted ids and {len(self.answers)} answers; give as many of each, at least "
                "one, none before the start, and a prompt of at least 2 tokens."
            )


def running(tokens: Int[Tensor, " tokens"], start: int) -> Sample:
    """All tokens from `start` on are judged, each an answer by itself."""
    asked = tuple(range(start, len(tokens)))
    return Sample(tokens, start, asked, tuple((int(tokens[at]),) for at in asked), tuple(range(len(asked))), running=True)
