"""Dream's sampler (Ye et al. 2025, arXiv 2508.15487): temperature and top-p, over the whole sequence at once."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.diffusion.sampler import Sampler, surest
from fewer.errors import AttentionError

LAST = 1e-3
"""Share of masked tokens that the schedule ends at; what is left then is told in the last step."""


@dataclass(frozen=True)
class Dream(Sampler):
    """The share of masked tokens falls in a straight line; which of them are told, `order` says."""

    temperature: float = 0.05
    """0 takes the likeliest token."""
    top_p: float = 0.95
    """Tokens are drawn from the fewest that hold so much probability."""
    order: Literal["random", "probability", "margin", "entropy"] = "random"
    """Each masked token by chance (the authors' "origin"), or the surest: by the probability of the drawn token
    ("maskgit_plus"), the margin of the first over the second ("topk_margin"), or the entropy of the place ("entropy")."""
    shifted: bool = True
    """The model tells a token at the place before it, as the autoregressive model did that it was made from."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise AttentionError(f"temperature {self.temperature} must be 0 or more, and top_p {self.top_p} in (0, 1].")
        if self.order not in ("random", "probability", "margin", "entropy"):
            raise AttentionError(f'order is "random", "probability", "margin" or "entropy", not {self.order!r}.')

    def read(self, logits: Float[Tensor, "batch tokens vocabulary"]) -> Float[Tensor, "batch tokens vocabulary"]:
        return torch.cat([logits[:, :1], logits[:, :-1]], 1) if self.shifted else logits

    def unmask(
        self,
        tokens: Int[Tensor, "batch length"],
        masked: Tensor,
        logits: Float[Tensor, "batch length vocabulary"],
        step: int,
        generator: torch.Generator | None,
    ) -> Int[Tensor, "batch length"]:
        chances = self._nucleus(logits)
        guesses = self._drawn(chances, generator)
        told = self._share(step)
        if self.order == "random":
            lucky = torch.rand(tokens.shape, device=tokens.device, generator=generator) < told
            return torch.where(masked & lucky, guesses, tokens)
        confidence = self._confidence(chances, guesses).masked_fill(~masked, -torch.inf)
        return surest(tokens, guesses, confidence, int(float(masked.sum()) / len(masked) * told))

    def _share(self, step: int) -> float:
        """Of the tokens that are still masked, how many this step tells."""
        now, then = (1 - (1 - LAST) * at / self.steps for at in (step, step + 1))
        return 1.0 if step == self.steps - 1 else 1 - then / now

    def _nucleus(self, logits: Float[Tensor, "batch length vocabulary"]) -> Float[Tensor, "batch length vocabulary"]:
        """Probabilities of the tokens that are left to draw from."""
        chances = (logits / (self.temperature or 1)).softmax(-1)
        if self.top_p == 1:
            return chances
        ranked, order = chances.sort(-1, descending=True)
        inside = ranked.cumsum(-1) - ranked <= self.top_p  # with the token that crosses the line
        inside[..., 0] = True
        chances = torch.zeros_like(chances).scatter_(-1, order, ranked * inside)
        return chances / chances.sum(-1, keepdim=True)

    def _drawn(self, chances: Float[Tensor, "batch length vocabulary"], generator: torch.Generator | None) -> Tensor:
        if not self.temperature:
            return chances.argmax(-1)
        return torch.multinomial(chances.flatten(0, 1), 1, generator=generator).view(chances.shape[:2])

    def _confidence(self, chances: Float[Tensor, "batch length vocabulary"], guesses: Tensor) -> Float[Tensor, "batch length"]:
        if self.order == "probability":
            return chances.gather(-1, guesses[..., None])[..., 0]
        if self.order == "margin":
            first, second = chances.topk(2, -1).values.unbind(-1)
            return first - second
        return torch.special.xlogy(chances, chances).sum(-1)
