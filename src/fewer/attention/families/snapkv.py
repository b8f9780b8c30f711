"""SnapKV (Li et al. 2024, arXiv 2404.14469): a prompt, once read, keeps the keys that its last queries attend to."""

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool1d

from fewer.attention.families.family import Family
from fewer.attention.families.last_queries import last_attention, scoring_flops
from fewer.attention.families.marks import Marks
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Chosen, KeySet
from fewer.attention.memory import Memory
from fewer.attention.method import Stage
from fewer.core import register
from fewer.errors import AttentionError


class Kept(NamedTuple):
    """What is left of a prompt in one layer."""

    keys: Bool[Tensor, "batch kv_heads prompt"]
    marks: Marks


@register
@dataclass(frozen=True)
class SnapKV(Family):
    """`capacity` keys of the prompt for each KV head, and all that come after it.

    Importance: weights of the last `window` queries, averaged over the query heads of a KV head and summed over the queries,
    then smoothed over `kernel` neighbours. The last `local` and the first `prefix` keys are always kept, and counted.

    The prompt itself has dense attention. The keys stay in the cache, unread, until `eviction.evict` takes them out.
    Prompts of up to `capacity` tokens keep everything; a window longer than the prompt is cut to it.
    """

    slug: ClassVar[str] = "snapkv"
    stage: ClassVar[Stage] = "decode"

    capacity: int = 1024
    window: int = 256
    kernel: int = 21
    local: int = 128
    prefix: int = 4

    def __post_init__(self) -> None:
        if self.capacity < self.local + self.prefix or min(self.window, self.local) < 1 or self.prefix < 0:
            raise AttentionError(
                f"capacity {self.capacity}, window {self.window}, local {self.local}, prefix {self.prefix}: give at least the "
                f"{self.local + self.prefix} keys that are always kept, a window and local of at least 1."
            )
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise AttentionError(f"kernel is an odd number of neighbours; given: {self.kernel}.")

    def of_stage(self, inputs: Inputs) -> bool:
        return inputs.causal and inputs.before > 0 and inputs.keys > self.capacity

    def measured(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch kv_heads keys"]:
        """Smoothed importance; what is always kept is no candidate (and was smoothed before it was set apart)."""
        weights = last_attention(inputs, min(self.window, inputs.queries))
        importance = self.importance(weights.unflatten(1, (inputs.kv_heads, inputs.share)))
        return avg_pool1d(importance, self.kernel, 1, self.kernel // 2).masked_fill(self._always(inputs), -torch.inf)

    def importance(self, weights: Float[Tensor, "batch kv_heads share window keys"]) -> Float[Tensor, "batch kv_heads keys"]:
        """Of each key, by the weights of the last queries."""
        return weights.mean(2).sum(2)

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch kv_heads"]:
        return torch.full(measured.shape[:-1], self.capacity - self.local - self.prefix)

    def key_set(self, chosen: Tensor, inputs: Inputs) -> Chosen:
        return Chosen.of(chosen | self._always(inputs))

    def _always(self, inputs: Inputs) -> Bool[Tensor, " keys"]:
        at = torch.arange(inputs.keys, device=inputs.q.device)
        return (at < self.prefix) | (at >= inputs.keys - self.local)

    def attended(self, inputs: Inputs, memory: Memory) -> KeySet:
        if inputs.causal and inputs.before == 0:
            self.begin(inputs, memory)
        return super().attended(inputs, memory)

    def begin(self, inputs: Inputs, memory: Memory) -> None:
        """Choose what is left of a prompt, and remember it."""
        if inputs.keys > self.capacity:
            kept = super().choose(inputs.checked(), memory).rows(inputs, 0, 1)[:, :: inputs.share, 0]
        else:
            kept = torch.ones(inputs.batch, inputs.kv_heads, inputs.keys, dtype=torch.bool, device=inputs.q.device)
        memory["snapkv", inputs.layer] = Kept(kept, Marks(inputs.k))

    def choose(self, inputs: Inputs, memory: Memory) -> KeySet:
        """What is left of the prompt, and all keys after it.

        Raises AttentionError when this cache's prompt was not read under this method.
        """
        kept: Kept | None = memory.get(("snapkv", inputs.layer))
        if kept is None or not kept.marks.match(inputs.k):
            raise AttentionError(
                f"{self.slug} does not know this cache: the whole prompt must be read in one call, under {self.slug}, by this "
                "model in this thread, with no other prompt in between. Read the prompt again."
            )
        later = kept.keys.new_ones(*kept.keys.shape[:2], inputs.keys - kept.keys.shape[2])
        return Chosen.of(torch.cat([kept.keys, later], 2))

    def with_share(self, share: float, keys: int) -> Self:
        return replace(self, capacity=max(self.local + self.prefix, round(share * keys)))

    def prompt_flops(self, prompt: Inputs) -> float:
        """FLOPs of the estimator, which looks once, at the end of a prompt."""
        return scoring_flops(prompt, self.window) if prompt.keys > self.capacity else 0.0

    def scoring_flops(self, inputs: Inputs) -> float:
        """None in decoding: see `prompt_flops`."""
        return self.prompt_flops(inputs) if inputs.before == 0 else 0.0
