"""A model under a method object, with every kept cell and every FLOP of attention counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from fewer.attention.executors import attend
from fewer.attention.families.family import Family
from fewer.attention.inputs import Inputs
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention
from fewer.attention.registered import mask
from fewer.errors import AttentionError

NAME = "fewer_studied"


@dataclass
class Counted:
    """What a method did in a model, over all layers, heads and sequences of its run."""

    method: SparseAttention
    phase: str
    """prefill or decode: whose cells are counted in `kept` and `cells`."""
    memory: Memory = field(default_factory=Memory)
    kept: float = 0.0
    cells: float = 0.0
    """Cells that dense attention has there."""
    attention_flops: float = 0.0
    """Products with keys and with values, in both phases."""
    scoring_flops: float = 0.0
    seen: list[Inputs] | None = None
    """A list, to have the inputs of every call put into it."""

    @property
    def density(self) -> float:
        """Share of the cells that is kept; 1 where there was no call."""
        return self.kept / self.cells if self.cells else 1.0

    def attend(self, inputs: Inputs) -> Float[Tensor, "batch heads queries dim"]:
        """The method's output, counted."""
        if self.seen is not None:
            self.seen.append(inputs)
        dense = float(inputs.batch * inputs.heads * inputs.cells)
        if self.method.kind == "dense" or not self.method.of_stage(inputs):
            out, kept = self.method.attend(inputs, self.memory), dense
        else:
            keys = self.method.choose(inputs.checked(), self.memory)
            out, kept = attend(inputs, keys), float(keys.kept(inputs).sum())
            self.count_scoring(inputs)
        if (inputs.before == 0) == (self.phase == "prefill"):
            self.kept, self.cells = self.kept + kept, self.cells + dense
        self.attention_flops += 4.0 * kept * inputs.dim
        return out

    def count_scoring(self, inputs: Inputs) -> None:
        """A random twin needs no estimate."""
        if isinstance(self.method, Family) and self.method.kind == "method":
            self.scoring_flops += self.method.scoring_flops(inputs)


_RUNNING: ContextVar[Counted | None] = ContextVar("fewer_studied", default=None)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    counted = _RUNNING.get()
    if counted is None or attention_mask is not None:
        raise AttentionError(f"{NAME} is for `studied` alone, without padding. Use fewer.attention.configure(model, ...).")
    out = counted.attend(Inputs(query, key, value, scaling, True, module.layer_idx))  # type: ignore[arg-type]
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, mask)


@contextmanager
def studied(model: nn.Module, counted: Counted) -> Iterator[Counted]:
    """Inside, the model's attention is `counted`'s; afterwards it is what it was."""
    before: Any = model.config._attn_implementation  # type: ignore[union-attr]
    model.set_attn_implementation(NAME)  # type: ignore[operator]
    token = _RUNNING.set(counted)
    try:
        yield counted
    finally:
        _RUNNING.reset(token)
        model.set_attn_implementation(before)  # type: ignore[operator]
