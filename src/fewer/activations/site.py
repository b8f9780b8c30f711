"""Where inputs are chosen: a linear layer, or several that read one input and are treated as one; and how they multiply."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import linear

from fewer.activations.levels import Levels
from fewer.activations.low_rank import Factors, LowRank
from fewer.activations.method import InputMethod, Split, Weights
from fewer.kernels.forms.columns import DTYPES, ColumnProduct, Columns


@dataclass
class When:
    """Which tokens are sparse. One for a whole model."""

    rows: int = 1
    """So many rows of input at most are a decoding step, and sparse."""
    dense_prompt: float = 1.0
    """Share of a longer input's tokens, from its start, that are dense; the others are sparse."""


class Site:
    """Layers whose inputs are chosen together, the distribution of their scores, and what was chosen."""

    method: InputMethod
    density: float
    """Share of the weights that may be read for a token."""
    split: Split
    threshold: float
    """Of the score."""
    thresholds: Float[Tensor, " in"] | None
    """Of |x|, for each input; None where the score is no multiple of |x|."""
    low: Factors | None
    """What stands in for the other inputs."""

    def __init__(self, names: Sequence[str], layers: Sequence[nn.Linear]):
        self.names, self.layers = tuple(names), tuple(layers)
        self.levels = Levels(self.names[0])
        weight = self.matrix()
        self.shape = (weight.shape[0], weight.shape[1])
        self.norms = weight.float().norm(dim=0)
        self.ends = [0, *accumulate(layer.out_features for layer in layers)]
        self.tally: list[int] | None = None
        """While it is measured: how many inputs were kept, of how many."""

    def matrix(self) -> Float[Tensor, "out in"]:
        """The weights of all its layers."""
        weights = [layer.weight.detach() for layer in self.layers]
        return weights[0] if len(weights) == 1 else torch.cat(weights)

    @property
    def weights(self) -> Weights:
        """What a method sees."""
        return Weights(self.names[0], self.norms)

    @cached_property
    def low_rank(self) -> LowRank:
        return LowRank(self.matrix().float())

    def settle(self, method: InputMethod, density: float) -> None:
        """Choose thresholds and rank for a density; the calibration must have been seen."""
        self.method, self.density = method, density
        self.split = method.split(self.shape, density)
        share = 1 - self.split.inputs
        self.threshold = self.levels.threshold(share) if share > 0 else -1.0
        self.thresholds = method.thresholds(self.weights, self.threshold)
        if self.split.inputs == 0:  # low rank alone: no input is so large
            self.threshold, self.thresholds = torch.inf, torch.full_like(self.norms, torch.inf)
        self.low = None
        if self.split.rank:
            self.low = Factors(*(f.to(self.layers[0].weight.dtype) for f in self.low_rank.factors(self.split.rank)))

    def kept(self, x: Float[Tensor, "*tokens in"]) -> Bool[Tensor, "*tokens in"]:
        """Which inputs go through the weights."""
        if self.thresholds is not None:
            kept = ~(x.abs() <= self.thresholds.to(x.device))  # so that NaN is kept, and seen
        else:
            kept = self.method.score(x, self.weights) > self.threshold
        if self.tally is not None:
            self.tally[0] += int(kept.sum())
            self.tally[1] += kept.numel()
        return kept

    def masked(self, x: Float[Tensor, "*tokens in"], place: int) -> Float[Tensor, "*tokens out"]:
        """What the layer at `place` makes of `x`, without its bias: any number of tokens, in torch."""
        kept = self.kept(x)
        out = linear(x * kept, self.layers[place].weight)
        if self.low is not None:
            low = x.masked_fill(kept, 0) @ self.low.down
            out = out + low @ self.low.up[:, self.ends[place] : self.ends[place + 1]]
        return out

    @property
    def touched(self) -> float:
        """Share of the weights that are read for a token, if as many inputs are kept as in calibration."""
        return touched(self.shape, self.split.inputs, self.split.rank)


def touched(shape: tuple[int, int], inputs: float, rank: int) -> float:
    """Share of the weights of a layer (out, in) that are read, its low-rank copy counted."""
    return inputs + rank * (shape[0] + shape[1]) / (shape[0] * shape[1])


class Group:
    """Sites that read one tensor. A decoding step multiplies all of them in one go, when the first layer is called."""

    def __init__(self, sites: Sequence[Site]):
        self.sites = tuple(sites)
        self.layers = [layer for site in self.sites for layer in site.layers]
        self.kernel: ColumnProduct | None = None
        self._alike: list[list[Site]] = []
        self._heights: list[list[int]] = []
        self._last: tuple[Any, Sequence[Tensor]] = (_nothing, ())

    @property
    def places(self) -> list[int]:
        """Where each layer's outputs begin in the result of the kernel, which fills those of a part up to lanes."""
        found, at = [], 0
        for part, heights in zip(self.parts, self._heights, strict=True):
            found += [at + before for before in accumulate(heights[:-1], initial=0)]
            at += part.values.shape[1]
        return found

    @property
    def packed(self) -> bool:
        """Is there a kernel for it?"""
        return self.kernel is not None

    @property
    def extra_bytes(self) -> int:
        """Memory beyond the weights themselves: padding, thresholds and low-rank copies."""
        weights = sum(layer.weight.nbytes for layer in self.layers)
        if self.kernel is not None:
            return sum(part.nbytes for part in self.parts) - weights
        small = [t for site in self.sites for t in (site.thresholds, *(site.low or ())) if t is not None]
        return sum(t.nbytes for t in small)

    def pack(self) -> None:
        """Store the weights by input, where there is a kernel: on the CPU, for scores that are multiples of |x|."""
        weight = self.layers[0].weight
        usable = (
            weight.device.type == "cpu" and weight.dtype in DTYPES and all(p.weight.dtype == weight.dtype for p in self.layers)
        )
        if not usable or any(site.thresholds is None for site in self.sites):
            return
        parts = []
        for alike in _alike(self.sites):
            matrix = torch.cat([site.matrix() for site in alike]) if len(alike) > 1 else alike[0].matrix()
            parts.append(Columns(matrix, alike[0].thresholds, *(alike[0].low or ())))  # type: ignore[arg-type]
            self._alike.append(alike)
        self.kernel = ColumnProduct(parts)

    @property
    def parts(self) -> tuple[Columns, ...]:
        """What was packed."""
        return () if self.kernel is None else self.kernel.parts

    def bind(self) -> None:
        """Let layers use what was packed as their weights, so that there is one copy; packed arrays may not move any more."""
        for alike, part in zip(self._alike, self.parts, strict=True):
            layers = [layer for site in alike for layer in site.layers]
            self._heights.append([layer.out_features for layer in layers])
            for layer, rows in zip(layers, part.weight.split(self._heights[-1]), strict=True):
                layer.weight.data = rows
            if alike[0].low is not None:
                alike[0].low = Factors(*part.factors())  # type: ignore[arg-type]

    def product(self, x: Float[Tensor, "*batch in"], place: int) -> Float[Tensor, "*batch out"]:
        """What the layer at `place` makes of `x`, without its bias."""
        assert self.kernel is not None
        if len(self.layers) == 1:
            return self.kernel.multiply(x)[0]
        made_of, results = self._last
        if made_of() is not x:
            parts = zip(self.kernel.multiply(x), self._heights, strict=True)
            results = [y for part, heights in parts for y in part.split_with_sizes(heights, -1)]
            self._last = (weakref.ref(x), results)
        if place == len(results) - 1:
            self._last = (_nothing, ())  # holds no memory between forward passes
        return results[place]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": (_nothing, ())}


def _nothing() -> None:
    return None


def _alike(sites: Sequence[Site]) -> list[list[Site]]:
    """Neighbours with the same thresholds and no low-rank copies: they keep the same inputs, so one test does for them."""
    runs: list[list[Site]] = []
    for site in sites:
        before = runs[-1][0] if runs else None
        same = (
            before is not None
            and before.low is None
            and site.low is None
            and before.thresholds is not None
            and site.thresholds is not None
            and torch.equal(before.thresholds, site.thresholds)
        )
        if same:
            runs[-1].append(site)
        else:
            runs.append([site])
    return runs
