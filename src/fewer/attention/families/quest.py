"""Quest (Tang et al. 2024, arXiv 2406.10774): in decoding, pages of keys by an upper bound on their products with the query."""

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewer.attention.families.family import Family
from fewer.attention.families.marks import Marks
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Cells, Chosen, KeySet
from fewer.attention.memory import Memory
from fewer.attention.method import Stage
from fewer.core import register
from fewer.errors import AttentionError


class Pages(NamedTuple):
    """Smallest and largest keys of whole pages, of one layer of one cache."""

    low: Float[Tensor, "batch kv_heads pages dim"]
    high: Float[Tensor, "batch kv_heads pages dim"]
    marks: Marks | None


@register
@dataclass(frozen=True)
class Quest(Family):
    """The best `budget` // `page` whole pages, and always the page that is being written, which is not counted.

    The prompt has dense attention. Of several queries after a cache (a draft, teacher forcing) each chooses its own pages, as
    it would alone. Pages' bounds are kept in the model's memory and extended as the cache grows; a cache that is not the one
    remembered gets new ones.
    """

    slug: ClassVar[str] = "quest"
    stage: ClassVar[Stage] = "decode"

    budget: int = 1024
    """Tokens."""
    page: int = 16
    share_pages: bool = True
    """One list of pages for the query heads of a KV head, by the sum of their bounds; else each head has its own."""

    def __post_init__(self) -> None:
        if self.page < 1 or self.budget < 0 or self.budget % self.page:
            raise AttentionError(f"budget {self.budget} must be a multiple of page, {self.page}, which is at least 1.")

    def of_stage(self, inputs: Inputs) -> bool:
        return inputs.causal and inputs.before > 0 and (inputs.keys - 1) // self.page > self.budget // self.page

    def measured(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch sets queries pages"]:
        """sum_d max(q_d low_d, q_d high_d): no key of the page has a larger product (eq. of section 3.2)."""
        pages = self.pages(inputs, memory)
        q = inputs.q.float().reshape(inputs.batch, inputs.kv_heads, inputs.share * inputs.queries, inputs.dim)
        bounds = q.clamp_min(0) @ pages.high.float().transpose(2, 3) + q.clamp_max(0) @ pages.low.float().transpose(2, 3)
        bounds = bounds.view(inputs.batch, inputs.heads, inputs.queries, -1)
        if self.share_pages:
            bounds = bounds.unflatten(1, (inputs.kv_heads, inputs.share)).sum(2)
        at = torch.arange(bounds.shape[-1], device=bounds.device)
        return bounds.masked_fill(at >= self._current(inputs)[:, None], -torch.inf)

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch sets queries"]:
        return torch.full(measured.shape[:-1], self.budget // self.page)

    def key_set(self, chosen: Tensor, inputs: Inputs) -> KeySet:
        page = torch.arange(inputs.keys, device=chosen.device) // self.page
        open_ = torch.nn.functional.pad(chosen, (0, 1))[..., page.clamp_max(chosen.shape[-1])]
        kept = open_ | (page == self._current(inputs)[:, None])
        return Chosen.of(kept[:, :, 0]) if inputs.queries == 1 else Cells(_of_heads(kept, inputs))

    def _current(self, inputs: Inputs) -> Int[Tensor, " queries"]:
        """The page that each query's own key is in."""
        return (torch.arange(inputs.queries, device=inputs.q.device) + inputs.before) // self.page

    def pages(self, inputs: Inputs, memory: Memory) -> Pages:
        """Bounds of all whole pages before the newest key's, those that are remembered not computed again."""
        key, k = ("quest", self.page, inputs.layer), inputs.k
        pages: Pages | None = memory.get(key)
        if pages is None or pages.marks is None or not pages.marks.match(k):
            empty = k.new_empty(inputs.batch, inputs.kv_heads, 0, inputs.dim)
            pages = Pages(empty, empty, None)
        had, whole = pages.low.shape[2], (inputs.keys - 1) // self.page
        if whole > had:
            fresh = k[:, :, had * self.page : whole * self.page].unflatten(2, (whole - had, self.page))
            low, high = torch.cat([pages.low, fresh.amin(3)], 2), torch.cat([pages.high, fresh.amax(3)], 2)
            pages = memory[key] = Pages(low, high, Marks(k[:, :, : whole * self.page]))
        return pages._replace(low=pages.low[:, :, :whole], high=pages.high[:, :, :whole])

    def with_share(self, share: float, keys: int) -> Self:
        return replace(self, budget=round(share * keys / self.page) * self.page)

    def scoring_flops(self, inputs: Inputs) -> float:
        """Two products with every page."""
        return 4.0 * inputs.batch * inputs.heads * inputs.queries * ((inputs.keys - 1) // self.page) * inputs.dim


def _of_heads(kept: Tensor, inputs: Inputs) -> Tensor:
    return kept.repeat_interleave(inputs.heads // kept.shape[1], 1)
