"""DSnoT (Zhang et al. 2023, arXiv 2310.08915): swap weights in and out until the mean output is the dense layer's."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewer.core import NM, Method, Selection, Unstructured, noise, register
from fewer.core.method import Kind
from fewer.core.topk import keep_largest
from fewer.errors import MethodError, PatternError
from fewer.kernels.cpu.swap import Guard, swap
from fewer.weights.gradients import Gradient
from fewer.weights.layers import matches
from fewer.weights.methods.wanda import Wanda
from fewer.weights.pruner import Pruner
from fewer.weights.seen import Hessian, Moments, Seen, together


@register
@dataclass(frozen=True)
class DSnoT(Pruner):
    """Improves the mask of `base` without training; no weight is changed, and every row (N:M: group) keeps its count.

    With C = W * E[x] and the gap of a row = sum of C over its dropped weights, one swap a cycle: back comes the dropped weight
    with the largest |C| / Var[x]^power among those that close the gap, out goes the kept weight with the lowest drop score
    among those that close it too (N:M: of the same group, whatever its sign).

    Only the score of `base` is used, with this method's pattern and seed. Refines row, layer and global masks and N:M along
    the inputs.

    Raises:
        MethodError: a parameter out of its range, or a base that has no score on inputs.
        PatternError: a pattern whose weights cannot be swapped one by one, or a base with a pattern of its own.
    """

    slug: ClassVar[str] = "dsnot"
    statistics: ClassVar[type[Seen]] = Moments
    needs_data: ClassVar[bool] = True

    base: Pruner = field(default=Wanda())
    cycles: int = 50
    """T: swaps a row at most."""
    delta: float = 0.1 / 2048
    """A row stops once its gap is no more than this. On the scale of MEANS over tokens: the published 0.1 is on that of sums
    over a sequence of 2,048 tokens."""
    power: float = 1.0
    """Of the variance in the grow score; 0 leaves it out."""
    same_sign: bool = True
    """A row stops before a swap that would turn its gap's first sign. Published runs do so under N:M alone; without it a narrow
    row swaps back and forth until T, which costs more than the mean output is worth."""
    drop: Pruner | None = None
    """Whose score says what is dropped first. None is as published: Wanda's; under N:M the base's."""
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    """Layers that are refined, as shell patterns; the others keep the base's mask. Published runs exclude ("*.mlp.*",)."""
    squared_error: bool = True
    """Gather the inputs' products, so that the layer report has the squared output error too."""
    guard: bool = False
    """A row stops before a swap that would raise its squared output error. Ours, not the paper's; needs inputs' products."""

    def __post_init__(self) -> None:
        for name, low in (("cycles", 0), ("delta", 0), ("power", 0)):
            if not getattr(self, name) >= low:
                raise MethodError(f"{name} of dsnot must be at least {low}, not {getattr(self, name)!r}.")
        for inner in (self.base, self.drop):
            if inner is None or (
                isinstance(inner, Pruner) and inner.kind != "dense" and not issubclass(inner.gathers, Gradient)
            ):
                continue
            raise MethodError(
                f"dsnot needs a score of weights and inputs; {getattr(inner, 'slug', repr(inner))} has none. "
                "Allowed: random, magnitude, wanda, sparsegpt-mask, or any Pruner that needs no gradient."
            )
        if self.base.pattern not in (type(self.base).pattern, self.pattern):
            raise PatternError(
                f"the base of dsnot has the pattern {self.base.pattern} of its own. Give it to dsnot: pattern=..."
            )
        if not isinstance(self.pattern, Unstructured | NM) or (
            isinstance(self.pattern, NM) and self.pattern.axis not in (-1, 1)
        ):
            raise PatternError(f"dsnot swaps single weights; {self.pattern} has none. Allowed: row, layer, global, N:M.")

    @property
    def gathers(self) -> type[Seen]:
        wanted = super().gathers
        return together(wanted, Hessian) if self.squared_error or self.guard else wanted

    @property
    def seeded(self) -> bool:
        return super().seeded or self.base.seeded

    def score(self, weight: Float[Tensor, "out in"], seen: Seen) -> Float[Tensor, "out in"]:
        return self.base.with_seed(self.seed).score(weight, seen)

    def refine(self, selection: Selection, weight: Float[Tensor, "out in"], seen: Moments) -> Selection:
        if not self.refines(seen.name):
            return selection
        mask, shift, group = selection.mask.clone(), weight * seen.mean.float(), self.group
        variance = seen.variance
        ease = torch.where(variance > 0, variance.pow(-self.power), 0)  # an input that never varies does not come back
        dropper = self.drop or (self.base.with_seed(self.seed) if group else Wanda())
        swap(
            mask,
            shift,
            shift.abs() * ease,
            dropper.score(weight, seen),
            _gap(shift, mask),
            cycles=self.cycles,
            delta=self.delta,
            same_sign=self.same_sign,
            group=group,
            guard=self._guard(weight, mask, seen) if self.guard else None,
        )
        return Selection(mask, selection.pattern)

    @property
    def group(self) -> int:
        """M of N:M; 0 for single weights of a row."""
        return self.pattern.m if isinstance(self.pattern, NM) else 0

    def refines(self, layer: str) -> bool:
        """Whether the mask of the layer of this name is refined."""
        return matches(layer, self.include) and not matches(layer, self.exclude)

    @staticmethod
    def _guard(weight: Tensor, mask: Tensor, seen: Any) -> Guard:
        products = seen.products / max(seen.tokens, 1)
        return Guard(weight.contiguous(), products, (weight * ~mask) @ products)

    def report(self, weight: Float[Tensor, "out in"], first: Selection, last: Selection, seen: Any) -> dict[str, float]:
        """Of the layer's output, before and after refining, against the dense layer on the same input.

        mean_error: mean over rows of |E[output error]|; squared_error: mean over rows of E[output error^2]; swapped: share of
        the layer's weights that came back.
        """
        shift = weight * seen.mean.float()
        said = {
            "mean_error_before": float(_gap(shift, first.mask).abs().mean()),
            "mean_error": float(_gap(shift, last.mask).abs().mean()),
            "swapped": int((last.mask & ~first.mask).count_nonzero()) / weight.numel(),
        }
        if isinstance(seen, Hessian):
            before = seen.error(weight * ~first.mask) / len(weight)
            after = seen.error(weight * ~last.mask) / len(weight) if said["swapped"] else before
            said |= {"squared_error_before": before, "squared_error": after}
        return said

    def random_twin(self) -> Method:
        return RandomSwaps(**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)})


@dataclass(frozen=True)
class RandomSwaps(DSnoT):
    """Random twin of DSnoT: the base's mask, and in every row (N:M: group) as many swaps as DSnoT makes, by chance."""

    slug: ClassVar[str] = "random-dsnot"
    kind: ClassVar[Kind] = "random"

    def refine(self, selection: Selection, weight: Float[Tensor, "out in"], seen: Moments) -> Selection:
        kept = selection.mask
        swapped = super().refine(selection, weight, seen).mask & ~kept
        pattern = NM(1, self.group) if self.group else Unstructured("row")
        chance = pattern.units(noise(kept.shape, self.seed, seen.name, "swaps").to(kept.device))
        units, counts = pattern.units(kept), pattern.units(swapped).sum(1)
        back = keep_largest(chance.masked_fill(units, -1), counts)
        gone = keep_largest(chance.masked_fill(~units, -1), counts)
        return Selection(pattern.spread(units & ~gone | back, tuple(kept.shape)), selection.pattern)


def _gap(shift: Float[Tensor, "out in"], mask: Bool[Tensor, "out in"]) -> Float[Tensor, " out"]:
    """(dense - sparse) mean output of every row."""
    return (shift * ~mask).sum(1).double()
