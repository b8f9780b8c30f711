"""What samplers of masked-diffusion language models share: the loop over steps, and that the attention knows of them."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fewer.attention.denoising import Denoising
from fewer.attention.diffusion.memory_of import memory_of
from fewer.errors import AttentionError


@dataclass(frozen=True)
class Sampler:
    """All generated tokens are masked at first; at each step the model sees the whole sequence, and some are told.

    A subclass says which (`unmask`). Works on any bidirectional model that gives `.logits` for token ids.
    """

    steps: int = 128
    length: int = 128
    """Tokens to generate."""

    def __post_init__(self) -> None:
        if self.length < 1 or self.steps < 1:
            raise AttentionError(f"steps {self.steps} and length {self.length} must be at least 1.")

    @torch.inference_mode()
    def __call__(
        self,
        model: nn.Module,
        prompt: Int[Tensor, "batch prompt"],
        mask_token: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "batch prompt+length"]:
        """The prompt and what the model makes of the tokens behind it.

        Args:
            prompt: sequences of one length, without padding: others one by one.
            mask_token: its id; the config's `mask_token_id` when not given.
            generator: of the draws; without one they come from torch's global state.

        Raises:
            AttentionError: no mask token is known, it is among the prompt's, or the prompt is not [batch, tokens].
        """
        mask = _mask_token(model, mask_token)
        if prompt.ndim != 2 or bool((prompt == mask).any()):
            raise AttentionError(
                f"a prompt is [batch, tokens] without the mask token {mask}; given: shape {tuple(prompt.shape)}"
                f"{', with it' if prompt.ndim == 2 else ''}."
            )
        tokens = torch.cat([prompt, prompt.new_full((len(prompt), self.length), mask)], 1)
        memory = memory_of(model)
        cached = {"use_cache": False} if hasattr(getattr(model, "config", None), "use_cache") else {}
        try:
            for step in range(self.steps):
                Denoising(step, self.steps, self.length).tell(memory)
                logits = self.read(model(tokens, **cached).logits)[:, -self.length :].float()
                logits[..., mask : mask + 1] = -torch.inf  # no answer; the published samplers leave it masked when it comes
                here = tokens[:, -self.length :]
                tokens[:, -self.length :] = self.unmask(here, here == mask, logits, step, generator)
        finally:
            memory.pop(Denoising, None)  # a pass outside of a generation is no step of it
        return tokens

    def read(self, logits: Float[Tensor, "batch tokens vocabulary"]) -> Float[Tensor, "batch tokens vocabulary"]:
        """The logits of each place, from what the model gives there."""
        return logits

    def unmask(
        self,
        tokens: Int[Tensor, "batch length"],
        masked: Tensor,
        logits: Float[Tensor, "batch length vocabulary"],
        step: int,
        generator: torch.Generator | None,
    ) -> Int[Tensor, "batch length"]:
        """The generated tokens after this step."""
        raise NotImplementedError


def surest(
    tokens: Int[Tensor, "batch length"], guesses: Tensor, confidence: Float[Tensor, "batch length"], count: int
) -> Int[Tensor, "batch length"]:
    """`tokens` with the guesses at the `count` most confident places; those of -inf are never taken."""
    best = confidence.topk(min(count, tokens.shape[1]), -1).indices
    taken = torch.zeros_like(tokens, dtype=torch.bool).scatter_(1, best, True) & (confidence > -torch.inf)
    return torch.where(taken, guesses, tokens)


def _mask_token(model: nn.Module, given: int | None) -> int:
    config: Any = getattr(model, "config", None)
    found = getattr(config, "mask_token_id", None) if given is None else given
    if found is None:
        raise AttentionError(f"the config of {type(model).__name__} names no mask_token_id: give `mask_token`.")
    return int(found)
