"""Allocations: how one budget is shared out over named tensors. Every allocation meets the total that it was given."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fewer.core.budget import Density
from fewer.core.scores import checked
from fewer.core.topk import keep_largest
from fewer.errors import BudgetError

Shapes = Mapping[str, tuple[int, ...]]
Scores = Mapping[str, Tensor]


@dataclass(frozen=True)
class Allocation:
    """Layer densities for a total density; sum of density x size equals total x size, unless documented otherwise."""

    def densities(self, shapes: Shapes, density: float, scores: Scores | None = None) -> dict[str, float]:
        """Args: `shapes` of the tensors in order, the total `density` in [0, 1], `scores` where the allocation reads them.

        Raises:
            BudgetError: a density outside [0, 1], or one that this allocation cannot meet.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Uniform(Allocation):
    """The same density everywhere."""

    def densities(self, shapes: Shapes, density: float, scores: Scores | None = None) -> dict[str, float]:
        return dict.fromkeys(shapes, Density(density).share)


@dataclass(frozen=True)
class UniformPlus(Allocation):
    """First tensor dense, last one at least `last` dense, the rest uniform (Liu et al. 2022, arXiv 2202.02643, sec. 3).

    The rest's density is what meets the total exactly; the authors' code divides by all weights instead and misses it.
    """

    last: float = 0.2

    def densities(self, shapes: Shapes, density: float, scores: Scores | None = None) -> dict[str, float]:
        names = list(shapes)
        fixed = {names[0]: 1.0}
        if len(names) > 1 and density < self.last:
            fixed[names[-1]] = self.last
        return _fill(shapes, density, fixed, lambda rest, share: dict.fromkeys(rest, share))


@dataclass(frozen=True)
class ERK(Allocation):
    """Erdos-Renyi-Kernel (Evci et al. 2020, arXiv 1911.11134): density ~ (sum of sides / product of sides) ** power.

    Densities above 1 are set to 1 and what they leave over is shared out again, until all fit. For matrices this is ER.
    """

    power: float = 1.0

    def densities(self, shapes: Shapes, density: float, scores: Scores | None = None) -> dict[str, float]:
        raw = {name: (sum(shape) / max(math.prod(shape), 1)) ** self.power for name, shape in shapes.items()}
        return _proportional(shapes, Density(density).share, raw)


@dataclass(frozen=True)
class ERKPlus(Allocation):
    """ERK with the last tensor (the classifier) at a density of its own (arXiv 2202.02643, ImageNet setting)."""

    last: float = 1.0
    power: float = 1.0

    def densities(self, shapes: Shapes, density: float, scores: Scores | None = None) -> dict[str, float]:
        return _fill(shapes, density, {list(shapes)[-1]: self.last}, ERK(self.power).densities)


@dataclass(frozen=True)
class Global(Allocation):
    """Densities that one threshold over all scores gives: SNIP's and GraSP's layer ratios when those scores are given.

    `scores_from` holds other scores than those that choose inside the tensors (ratio of SNIP, positions at random).
    All scores are held in one vector while this runs.
    """

    scores_from: Mapping[str, Tensor] | None = None

    def densities(self, shapes: Shapes, density: float, scores: Scores | None = None) -> dict[str, float]:
        read = self.scores_from or scores
        if read is None:
            raise BudgetError("a global allocation needs scores: pass them, or use uniform or erk.")
        pooled = torch.cat([checked(read[name], f"the scores of {name}").flatten().float() for name in shapes])
        kept = keep_largest(pooled[None], Density(density).of(len(pooled)))[0]
        sizes = [math.prod(shape) for shape in shapes.values()]
        return {n: float(part.sum()) / max(size, 1) for n, size, part in zip(shapes, sizes, kept.split(sizes), strict=True)}


@dataclass(frozen=True)
class ByMass(Allocation):
    """Density in proportion to each tensor's mean score: where the scores are large, more is kept. Capped at 1 like ERK."""

    def densities(self, shapes: Shapes, density: float, scores: Scores | None = None) -> dict[str, float]:
        if scores is None:
            raise BudgetError("an allocation by score mass needs scores: pass them, or use uniform or erk.")
        raw = {name: float(checked(scores[name], name).float().mean()) for name in shapes}
        if min(raw.values()) < 0:
            raise BudgetError("an allocation by score mass needs scores whose mean is not negative.")
        return _proportional(shapes, Density(density).share, raw)


@dataclass(frozen=True)
class Ratios(Allocation):
    """Relative densities given by name (OWL, a search, a hand): scaled to meet the total, capped at 1 like ERK."""

    relative: Mapping[str, float]

    def densities(self, shapes: Shapes, density: float, scores: Scores | None = None) -> dict[str, float]:
        missing = [name for name in shapes if name not in self.relative]
        if missing or any(not self.relative[n] >= 0 for n in shapes):
            raise BudgetError(f"ratios must be at least 0 and name every tensor; missing: {missing[:5] or 'none'}.")
        return _proportional(shapes, Density(density).share, {name: self.relative[name] for name in shapes})


def _proportional(shapes: Shapes, density: float, raw: Mapping[str, float]) -> dict[str, float]:
    """Densities c * raw with the c that meets the total, where those above 1 become 1 and the rest takes up what they leave."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    wanted = density * sum(sizes.values())
    full: set[str] = set()
    while True:
        rest = [name for name in shapes if name not in full]
        weight = sum(raw[n] * sizes[n] for n in rest)
        left = wanted - sum(sizes[n] for n in full)
        if not rest or weight == 0:
            if left > 1e-6 * max(wanted, 1):
                raise BudgetError(f"density {density:g} cannot be met: all tensors with a ratio above 0 are full.")
            scale = 0.0
            break
        scale = left / weight
        over = {n for n in rest if scale * raw[n] > 1}
        if not over:
            break
        full |= over
    return {n: 1.0 if n in full else scale * raw[n] for n in shapes}


def _fill(
    shapes: Shapes,
    density: float,
    fixed: Mapping[str, float],
    spread: Callable[[Shapes, float], dict[str, float]],
) -> dict[str, float]:
    """Give `fixed` tensors their density and let `spread` share what is left over the others."""
    rest = {name: shape for name, shape in shapes.items() if name not in fixed}
    total = Density(density).share * sum(map(math.prod, shapes.values()))
    left = total - sum(math.prod(shapes[name]) * share for name, share in fixed.items())
    room = sum(map(math.prod, rest.values()))
    if left < -1e-6 or left > room * (1 + 1e-9):
        raise BudgetError(
            f"density {density:g} cannot be met when {', '.join(f'{n} has density {d:g}' for n, d in fixed.items())}: "
            f"that leaves {left:.0f} of {room} weights. Use erk or uniform, or another density."
        )
    shared = spread(rest, min(1.0, max(0.0, left / room))) if room else {}
    return {name: fixed[name] if name in fixed else shared[name] for name in shapes}


ALLOCATIONS: dict[str, Allocation] = {
    "uniform": Uniform(),
    "uniform+": UniformPlus(),
    "erk": ERK(),
    "erk+": ERKPlus(),
    "global": Global(),
    "mass": ByMass(),
}


def parse_allocation(text: str | Allocation) -> Allocation:
    """The allocation that `text` names; an Allocation is returned as it is. Raises BudgetError for an unknown name."""
    if isinstance(text, Allocation):
        return text
    if text not in ALLOCATIONS:
        raise BudgetError(f'allocation "{text}" is unknown; allowed: {", ".join(ALLOCATIONS)}.')
    return ALLOCATIONS[text]
