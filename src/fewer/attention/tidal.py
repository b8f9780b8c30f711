"""TidalDecode (Yang et al. 2024, arXiv 2410.05076): a few layers choose the cached tokens that all others attend to.

In decoding, the tokens of the largest attention weights change little from layer to layer. Selection layers attend to all keys
and choose; the layers behind each of them read the chosen keys alone. Every new token is chosen for afresh.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fewer.attention.executors import ALL, attend
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Cells, Chosen, KeySet
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention, Stage
from fewer.core import register
from fewer.errors import AttentionError, KernelError
from fewer.kernels.attention_choose import choose, scores
from fewer.kernels.attention_decode import LOG2_E, look

Sets = Literal["shared", "kv", "head"]
PUBLISHED = (2, 13)
"""Selection layers of the paper's experiments with models of 32 layers."""
MASS = "mass kept"
"""A dict under this key of a model's memory (`settings.in_force`) is given, by layer, the share of dense attention's weights
that the keys of the layer hold, a mean over heads and tokens.
"""


class _Carried(NamedTuple):
    """What a selection layer chose, and how far this forward pass has come since."""

    layer: int
    batch: int
    keys: int
    queries: int
    chosen: KeySet


@register
@dataclass(frozen=True)
class Tidal(SparseAttention):
    """Decoding with `keys` cached tokens a layer, the new one among them; prompts have dense attention.

    Layers before the first selection layer are dense, as is everything while the cache holds no more than `keys`. The paper
    keeps one set for each query head ("head"); one set for all heads keeps far more of a small model's quality. KV cache
    correction, which the paper has as an option, is not here.
    """

    slug: ClassVar[str] = "tidaldecode"
    stage: ClassVar[Stage] = "decode"

    keys: int = 256
    select: tuple[int, ...] = PUBLISHED
    """Layers that attend to everything and choose, counted from 0. `fewer.attention.sweep` finds them for a model."""
    sets: Sets = "shared"
    """One set for all heads, by the sum of their softmax weights; one for each KV head, likewise; or one for each head."""
    steps: bool = False
    """Take each token of a longer input behind a cache as a step of decoding, which gives what they would one by one: to
    measure quality."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "select", tuple(sorted(set(self.select))))  # a list, as JSON gives it
        if self.keys < 1 or self.sets not in get_args(Sets):
            raise AttentionError(
                f"keys must be at least 1 and sets one of {', '.join(get_args(Sets))}, not {self.keys}, {self.sets}."
            )
        if not self.select or self.select[0] < 0:
            raise AttentionError(f"select must name at least one layer, from 0 on; given: {self.select}.")

    def check(self, layers: int) -> None:
        if self.select[-1] >= layers:
            raise AttentionError(f"the model has layers 0 to {layers - 1}; select names {', '.join(map(str, self.select))}.")

    def suits(self, inputs: Inputs) -> bool:
        return inputs.keys > self.keys

    def of_stage(self, inputs: Inputs) -> bool:
        steps = inputs.decode or (self.steps and inputs.before > 0)
        return inputs.causal and steps and self.suits(inputs)

    def measured(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch sets queries keys"]:
        """What keys are ranked by, for each query; its own key is no candidate, since it is always kept."""
        logits = inputs.logits().float().transpose(1, 2).flatten(0, 1)  # queries are rows of their own, as sequences are
        ranked = scores(logits * LOG2_E, self._count(inputs)).unflatten(0, (inputs.batch, inputs.queries)).transpose(1, 2)
        return ranked.masked_fill(~self._earlier(inputs), -torch.inf)

    def counts(self, measured: Tensor, inputs: Inputs) -> Int[Tensor, "batch sets queries"]:
        return torch.full(measured.shape[:-1], self.keys - 1, device=measured.device)

    def key_set(self, chosen: Bool[Tensor, "batch sets queries keys"], inputs: Inputs) -> KeySet:
        kept = chosen | (inputs.allowed() & ~self._earlier(inputs))
        if inputs.queries == 1:
            return Chosen.of(kept[:, :, 0])
        return Cells(kept.repeat_interleave(inputs.heads // kept.shape[1], 1))

    def sparse(self, inputs: Inputs) -> bool:
        """Is this a call, of the stage, of the first selection layer or a later one?"""
        return self.of_stage(inputs) and inputs.layer >= self.select[0]

    def attended(self, inputs: Inputs, memory: Memory) -> KeySet:
        """A selection layer reads everything, and leaves its set for the layers that follow."""
        if not self.sparse(inputs):
            return ALL
        if inputs.layer in self.select:
            self._leave(self.choose(inputs.checked(), memory), inputs, memory)
            return ALL
        return self._carried(inputs, memory)

    def attend(self, inputs: Inputs, memory: Memory) -> Float[Tensor, "batch heads queries dim"]:
        if self.sparse(inputs) and inputs.layer in self.select:
            return self._choosing(inputs, memory)
        return self.attend_to(self.attended(inputs, memory), inputs, memory)

    def attend_to(self, keys: KeySet, inputs: Inputs, memory: Memory) -> Tensor:
        """Attention to the keys; what a choice of them holds is noted where it is asked for."""
        if MASS in memory and keys is not ALL:
            weights = inputs.logits().softmax(-1)
            memory[MASS][inputs.layer] = float((weights * keys.mask(inputs)).sum(-1).mean())
        return attend(inputs, keys)

    def _choosing(self, inputs: Inputs, memory: Memory) -> Tensor:
        """Dense attention, and the set for the layers that follow."""
        if self.kind == "method" and inputs.queries == 1 and not torch.is_grad_enabled():
            try:
                out, logits = look(inputs.q, inputs.k, inputs.v, inputs.scale)
                chosen: KeySet = Chosen(choose(logits, inputs.keys, self.keys, self._count(inputs)))
            except KernelError:
                inputs.checked()
                raise
        else:
            out, chosen = attend(inputs), self.choose(inputs.checked(), memory)
        self._leave(chosen, inputs, memory)
        return out

    def _leave(self, chosen: KeySet, inputs: Inputs, memory: Memory) -> None:
        memory[Tidal] = _Carried(inputs.layer, inputs.batch, inputs.keys, inputs.queries, chosen)

    def _carried(self, inputs: Inputs, memory: Memory) -> KeySet:
        """The set of this forward pass. It can be of no other: layers come in order, and each pass begins before it chooses."""
        found: _Carried | None = memory.get(Tidal)
        now = inputs.batch, inputs.keys, inputs.queries
        if found is None or found.layer >= inputs.layer or (found.batch, found.keys, found.queries) != now:
            raise AttentionError(
                f"layer {inputs.layer} has no keys to attend to: none of the selection layers {self.select} ran before it in "
                "this forward pass. Let one of them be sparse, before the first sparse layer that is none."
            )
        memory[Tidal] = found._replace(layer=inputs.layer)
        return found.chosen

    def _count(self, inputs: Inputs) -> int:
        return {"shared": 1, "kv": inputs.kv_heads, "head": inputs.heads}[self.sets]

    def _earlier(self, inputs: Inputs) -> Bool[Tensor, "queries keys"]:
        position = torch.arange(inputs.queries, device=inputs.q.device) + inputs.before
        return torch.arange(inputs.keys, device=inputs.q.device) < position[:, None]
