"""Patterns: which candidates are kept or dropped as one, and which of them compete (a unit)."""

import math
import re
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from fewer.errors import PatternError

Scope = Literal["global", "layer", "row"]


@dataclass(frozen=True)
class Pattern:
    """Turns scores into rows of competing candidates, and a choice among those back into a mask.

    A subclass says `fit` (does this shape have such candidates?), `units` and `spread`. `density` is the share
    that the pattern itself fixes (2:4 fixes one half), or None where a budget decides.
    """

    density: ClassVar[float | None] = None
    pooled: ClassVar[bool] = False  # do candidates of different tensors compete?

    def fit(self, shape: tuple[int, ...], where: str = "") -> None:
        """Raise PatternError when a tensor of `shape`, called `where`, has no such candidates."""

    def units(self, scores: Tensor) -> Tensor:
        """[units, members]: each row holds the scores of candidates that compete with each other."""
        raise NotImplementedError

    def spread(self, kept: Bool[Tensor, "units members"], shape: tuple[int, ...]) -> Bool[Tensor, "..."]:
        """Inverse of `units`: the mask over the original `shape`."""
        raise NotImplementedError

    def rank(self, scores: Tensor) -> Tensor:
        """What is compared; |top-k| compares magnitudes."""
        return scores

    def __str__(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class Unstructured(Pattern):
    """Single entries; they compete within the whole tensor, within each row of the first axis, or over all tensors.

    Within one call of `select`, "global" is the same as "layer"; pooling tensors is what `select_all` adds.
    """

    scope: Scope = "layer"

    def __post_init__(self) -> None:
        if self.scope not in ("global", "layer", "row"):
            raise PatternError(f'scope "{self.scope}" is unknown; allowed: global, layer, row.')

    def fit(self, shape: tuple[int, ...], where: str = "") -> None:
        if self.scope == "row" and not shape:
            raise PatternError(f'{self} needs a tensor of rows; {_named(where)} has no axes. Use pattern="layer".')

    @property
    def pooled(self) -> bool:  # type: ignore[override]
        return self.scope == "global"

    def units(self, scores: Tensor) -> Tensor:
        rows = scores.shape[0] if self.scope == "row" else 1
        return scores.reshape(rows, math.prod(scores.shape[1:]) if self.scope == "row" else scores.numel())

    def spread(self, kept: Tensor, shape: tuple[int, ...]) -> Tensor:
        return kept.reshape(shape)

    def __str__(self) -> str:
        return self.scope


def Rows() -> Unstructured:  # noqa: N802 - reads as the name of a pattern
    """Single entries that compete within their own row: Wanda's unit, one output neuron."""
    return Unstructured("row")


@dataclass(frozen=True)
class NM(Pattern):
    """Exactly `n` kept of every `m` consecutive entries along `axis` (2:4: what sparse tensor cores read)."""

    n: int
    m: int
    axis: int = -1

    def __post_init__(self) -> None:
        if not 0 <= self.n <= self.m or self.m < 1:
            raise PatternError(f"{self.n}:{self.m} is no N:M pattern; N must lie between 0 and M, and M be at least 1.")

    @property
    def density(self) -> float:  # type: ignore[override]
        return self.n / self.m

    def fit(self, shape: tuple[int, ...], where: str = "") -> None:
        if not -len(shape) <= self.axis < len(shape):
            raise PatternError(f"{self} along axis {self.axis} needs that axis; {_named(where)} has shape {shape}.")
        width = shape[self.axis]
        if width % self.m:
            raise PatternError(
                f"{self} needs a width that {self.m} divides along axis {self.axis}; {_named(where)} has {width}. "
                f'Use pattern="row", or exclude it{f": exclude={where!r}" if where else ""}.'
            )

    def units(self, scores: Tensor) -> Tensor:
        return scores.movedim(self.axis, -1).reshape(-1, self.m)

    def spread(self, kept: Tensor, shape: tuple[int, ...]) -> Tensor:
        moved = torch.empty(shape, device="meta").movedim(self.axis, -1).shape
        return kept.reshape(moved).movedim(-1, self.axis).contiguous()

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"


@dataclass(frozen=True)
class Block(Pattern):
    """Tiles of `rows` x `columns` over the last two axes, kept or dropped whole.

    They compete within the matrix (scope "layer") or within their own row of tiles (scope "row"); every leading
    index is a unit of its own. A tile's score is the mean (or the maximum) of its entries.
    """

    rows: int
    columns: int
    scope: Literal["layer", "row"] = "layer"
    reduce: Literal["mean", "max"] = "mean"

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise PatternError(f"a block needs sides of at least 1, not {self.rows}x{self.columns}.")

    def fit(self, shape: tuple[int, ...], where: str = "") -> None:
        if len(shape) < 2 or shape[-2] % self.rows or shape[-1] % self.columns:
            raise PatternError(
                f"{self} needs a matrix whose sides {self.rows} and {self.columns} divide; {_named(where)} has shape "
                f'{tuple(shape)}. Use pattern="row", or exclude it{f": exclude={where!r}" if where else ""}.'
            )

    def units(self, scores: Tensor) -> Tensor:
        tiles = scores.unflatten(-1, (-1, self.columns)).unflatten(-3, (-1, self.rows))
        reduced = _mean(tiles, (-3, -1)) if self.reduce == "mean" else tiles.amax((-3, -1))
        unit = -1 if self.scope == "row" else -2  # the first axis of what competes
        return reduced.reshape(math.prod(reduced.shape[:unit]), math.prod(reduced.shape[unit:]))

    def spread(self, kept: Tensor, shape: tuple[int, ...]) -> Tensor:
        tiles = kept.reshape(*shape[:-2], shape[-2] // self.rows, shape[-1] // self.columns)
        return tiles.repeat_interleave(self.rows, -2).repeat_interleave(self.columns, -1)

    def __str__(self) -> str:
        return f"block:{self.rows}x{self.columns}" + (":row" if self.scope == "row" else "")


def Stripe(queries: int) -> Block:  # noqa: N802
    """Single columns (keys), chosen once for every group of `queries` consecutive rows."""
    return Block(queries, 1, scope="row")


@dataclass(frozen=True)
class Slices(Pattern):
    """Whole slices of `width` consecutive indices along `axis`: neurons, input columns, channels, heads."""

    axis: int = 0
    width: int = 1
    reduce: Literal["mean", "max"] = "mean"

    def fit(self, shape: tuple[int, ...], where: str = "") -> None:
        if self.width < 1 or not -len(shape) <= self.axis < len(shape) or shape[self.axis] % self.width:
            raise PatternError(
                f"{self} needs an axis {self.axis} that {self.width} divides; {_named(where)} has shape {tuple(shape)}."
            )

    def units(self, scores: Tensor) -> Tensor:
        slices = scores.movedim(self.axis, 0).unflatten(0, (-1, self.width)).flatten(1)
        return (_mean(slices, (1,)) if self.reduce == "mean" else slices.amax(1))[None]

    def spread(self, kept: Tensor, shape: tuple[int, ...]) -> Tensor:
        along = [1] * len(shape)
        along[self.axis] = shape[self.axis]
        return kept[0].repeat_interleave(self.width).view(along).expand(shape).contiguous()

    def __str__(self) -> str:
        name = {0: "neuron", 1: "column"}.get(self.axis, f"slice:{self.axis}")
        return name if self.width == 1 else f"head:{self.width}" + ("" if self.axis == 0 else f":{self.axis}")


@dataclass(frozen=True)
class TopK(Pattern):
    """Entries of the last axis that compete within their own vector (activations, codes, chunks)."""

    def fit(self, shape: tuple[int, ...], where: str = "") -> None:
        if not shape:
            raise PatternError(f'{self} needs a tensor of vectors; {_named(where)} has no axes. Use pattern="layer".')

    def units(self, scores: Tensor) -> Tensor:
        return scores.reshape(math.prod(scores.shape[:-1]), scores.shape[-1])

    def spread(self, kept: Tensor, shape: tuple[int, ...]) -> Tensor:
        return kept.reshape(shape)

    def __str__(self) -> str:
        return "topk"


@dataclass(frozen=True)
class AbsTopK(TopK):
    """`TopK` by magnitude: both signs can be kept."""

    def rank(self, scores: Tensor) -> Tensor:
        return scores.abs()

    def __str__(self) -> str:
        return "abs-topk"


def _mean(scores: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The mean in at least single precision: whole numbers have none of their own, and half ones would make ties of it."""
    own = scores.dtype in (torch.float32, torch.float64)
    return scores.mean(axes, dtype=scores.dtype if own else torch.float64)


def _named(where: str) -> str:
    return where or "the tensor"


SPELLINGS = (
    "row, layer, global, N:M (2:4), block:RxC (block:16x16), neuron, column, slice:AXIS, head:WIDTH, stripe:ROWS, "
    "topk, abs-topk"
)


def parse_pattern(text: str | Pattern) -> Pattern:
    """The pattern that `text` names, as in the command line; a Pattern is returned as it is.

    Raises:
        PatternError: for a spelling that is not known; the message lists those that are.
    """
    if isinstance(text, Pattern):
        return text
    plain: dict[str, Pattern] = {
        "unstructured": Unstructured("layer"),
        "layer": Unstructured("layer"),
        "global": Unstructured("global"),
        "row": Unstructured("row"),
        "neuron": Slices(0),
        "channel": Slices(0),
        "column": Slices(1),
        "topk": TopK(),
        "abs-topk": AbsTopK(),
    }
    if text in plain:
        return plain[text]
    if match := re.fullmatch(r"(\d+):(\d+)", text):
        return NM(int(match[1]), int(match[2]))
    if match := re.fullmatch(r"block:(\d+)x(\d+)(:row)?", text):
        return Block(int(match[1]), int(match[2]), "row" if match[3] else "layer")
    if match := re.fullmatch(r"head:(\d+)(?::(-?\d+))?", text):
        return Slices(int(match[2] or 0), int(match[1]))
    if match := re.fullmatch(r"slice:(-?\d+)", text):
        return Slices(int(match[1]))
    if match := re.fullmatch(r"stripe:(\d+)", text):
        return Stripe(int(match[1]))
    raise PatternError(f'pattern "{text}" is unknown; allowed: {SPELLINGS}.')
