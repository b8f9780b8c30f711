"""LLaDA's sampler (Nie et al. 2025, arXiv 2502.09992): block after block, the most confident tokens first."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.diffusion.sampler import Sampler, surest
from fewer.errors import AttentionError


@dataclass(frozen=True)
class LLaDA(Sampler):
    """Semi-autoregressive, with low-confidence remasking: each of the steps of a block tells an equal share of its tokens for
    good, those whose own probability is largest.
    """

    block: int = 32
    """Tokens of a block, which is finished before the next begins. `length` for no blocks."""
    temperature: float = 0.0
    """Of the Gumbel noise by which a token is drawn; 0 takes the likeliest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block < 1 or self.length % self.block or self.steps % (self.length // self.block) or self.temperature < 0:
            raise AttentionError(
                f"length {self.length}, block {self.block}, steps {self.steps}, temperature {self.temperature}: block must "
                "divide length, the number of blocks must divide steps, and a temperature is 0 or more."
            )

    def unmask(
        self,
        tokens: Int[Tensor, "batch length"],
        masked: Tensor,
        logits: Float[Tensor, "batch length vocabulary"],
        step: int,
        generator: torch.Generator | None,
    ) -> Int[Tensor, "batch length"]:
        each = self.steps // (self.length // self.block)
        number, within = divmod(step, each)
        count = self.block // each + (within < self.block % each)
        guesses = self._drawn(logits, generator)
        confidence = logits.softmax(-1).gather(-1, guesses[..., None])[..., 0]
        confidence = confidence.masked_fill(~masked, -torch.inf)
        confidence[:, (number + 1) * self.block :] = -torch.inf
        return surest(tokens, guesses, confidence, count)

    def _drawn(self, logits: Float[Tensor, "batch length vocabulary"], generator: torch.Generator | None) -> Tensor:
        """By the Gumbel maximum, in double: in single precision it is no draw from these probabilities (the paper)."""
        if not self.temperature:
            return logits.argmax(-1)
        uniform = torch.rand(logits.shape, dtype=torch.float64, device=logits.device, generator=generator)
        return (logits.double() - self.temperature * (-uniform.log()).log()).argmax(-1)
