"""Which step of a generation a forward pass is: what a sampler tells the attention of its model."""

from dataclasses import dataclass

from fewer.attention.memory import Memory
from fewer.errors import AttentionError


@dataclass(frozen=True)
class Denoising:
    """One step of a masked-diffusion language model, which reads its whole sequence at each."""

    step: int
    """From 0."""
    steps: int
    """Of the whole generation."""
    generated: int
    """Tokens at the end of every sequence that are generated; those before are the prompt."""

    def tell(self, memory: Memory) -> None:
        """Write it where `of` reads it. For samplers, before each pass."""
        memory[Denoising] = self

    @staticmethod
    def of(memory: Memory) -> "Denoising":
        """What the sampler said. Raises AttentionError where none did."""
        if Denoising not in memory:
            raise AttentionError(
                "no sampler has said which denoising step this is. Generate with a sampler of fewer.attention.diffusion, or "
                "call Denoising(step, steps, generated).tell(memory_of(model)) before each pass; give sequences of different "
                "lengths one by one, without padding."
            )
        return memory[Denoising]
