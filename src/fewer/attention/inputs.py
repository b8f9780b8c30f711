"""What one layer's attention is given: queries, keys and values, without padding."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewer.errors import AttentionError


@dataclass(frozen=True, eq=False)
class Inputs:
    """Queries, keys and values of one layer, after rotary embedding. Query i stands at position `before` + i.

    Padding is gone before this is made (`registered.py`): every key is a real one.
    Raises AttentionError for shapes that do not fit together.
    """

    q: Float[Tensor, "batch heads queries dim"]
    k: Float[Tensor, "batch kv_heads keys dim"]
    v: Float[Tensor, "batch kv_heads keys dim"]
    """Head h of the queries reads KV head h // (heads // kv_heads)."""
    scale: float
    """Factor of q . k; 1 / sqrt(dim) mostly."""
    causal: bool = True
    layer: int = 0

    def __post_init__(self) -> None:
        shapes = tuple(self.q.shape), tuple(self.k.shape), tuple(self.v.shape)
        fits = (
            all(len(shape) == 4 for shape in shapes)
            and self.k.shape == self.v.shape
            and self.q.shape[0] == self.k.shape[0]
            and self.q.shape[3] == self.k.shape[3]
            and self.k.shape[1] > 0
            and self.heads % self.k.shape[1] == 0
            and 0 < self.queries <= self.keys
        )
        if not fits:
            raise AttentionError(
                f"queries, keys and values of shapes {shapes[0]}, {shapes[1]} and {shapes[2]} do not fit together; allowed: "
                "[batch, heads, queries, dim] and twice [batch, kv_heads, keys, dim], no fewer keys than queries, heads that "
                "kv_heads divides."
            )

    @property
    def name(self) -> str:
        """What noise of random twins is drawn for: each layer and length has its own."""
        return f"attention {self.layer}, {self.queries} of {self.keys}"

    @property
    def batch(self) -> int:
        return self.q.shape[0]

    @property
    def heads(self) -> int:
        return self.q.shape[1]

    @property
    def kv_heads(self) -> int:
        return self.k.shape[1]

    @property
    def share(self) -> int:
        """Query heads that read one KV head."""
        return self.heads // self.kv_heads

    @property
    def queries(self) -> int:
        return self.q.shape[2]

    @property
    def keys(self) -> int:
        return self.k.shape[2]

    @property
    def dim(self) -> int:
        return self.q.shape[3]

    @property
    def before(self) -> int:
        """Keys before the first query's own: its position."""
        return self.keys - self.queries

    @property
    def prefill(self) -> bool:
        """Is this a whole prompt, with nothing cached before it?"""
        return self.queries == self.keys and self.queries > 1

    @property
    def decode(self) -> bool:
        """Is this one new token after cached ones?"""
        return self.queries == 1 and self.keys > 1

    def allowed(self, start: int = 0, stop: int | None = None) -> Bool[Tensor, "queries keys"]:
        """Which cells dense attention has, in the rows of the queries from `start` up to `stop`."""
        stop = self.queries if stop is None else stop
        if not self.causal:
            return torch.ones(stop - start, self.keys, dtype=torch.bool, device=self.q.device)
        position = torch.arange(start, stop, device=self.q.device) + self.before
        return torch.arange(self.keys, device=self.q.device) <= position[:, None]

    @property
    def cells(self) -> int:
        """Cells that dense attention has, in one head of one sequence."""
        if not self.causal:
            return self.queries * self.keys
        return self.queries * self.before + self.queries * (self.queries + 1) // 2

    def logits(self, start: int = 0, stop: int | None = None) -> Float[Tensor, "batch heads queries keys"]:
        """Scaled products of the queries from `start` up to `stop` with all keys; -inf where they are not allowed."""
        stop = self.queries if stop is None else stop
        products = self.products(self.q[:, :, start:stop])
        return products.masked_fill_(~self.allowed(start, stop), -math.inf)

    def products(self, q: Float[Tensor, "batch heads some dim"]) -> Float[Tensor, "batch heads some keys"]:
        """Scaled products of any queries with all keys, none of them masked."""
        grouped = q.reshape(self.batch, self.kv_heads, self.share * q.shape[2], self.dim)  # the heads of a group at once
        return (grouped @ self.k.transpose(2, 3)).view(self.batch, self.heads, q.shape[2], self.keys) * self.scale

    def checked(self) -> "Inputs":
        """Itself. Raises AttentionError when queries or keys hold NaN or infinite numbers: scores of them say nothing.

        In decoding only the newest key is looked at; the others were when they were new.
        """
        newest = self.k[:, :, -self.queries :]
        for what, tensor in (("queries", self.q), ("keys", newest)):
            if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
                raise AttentionError(
                    f"the {what} of layer {self.layer} hold NaN or infinite numbers: no keys can be chosen by them. "
                    "Look for damaged weights, or for an overflow (float16?) in the layers before."
                )
        return self
