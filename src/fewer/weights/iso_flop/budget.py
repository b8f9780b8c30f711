"""How many weights of each part are active, so that the multiply-adds are those of the dense network."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fewer.core import Allocation, Uniform
from fewer.errors import BudgetError, ModelError
from fewer.weights.training.counts import layer_counts

TOLERANCE = 1e-3
"""Share of the dense multiply-adds by which the total may differ."""


class Cost(NamedTuple):
    """One weight of the transformed network, and what a use of it costs."""

    site: str
    """The dense layer that it stands for."""
    shape: tuple[int, ...]
    uses: int
    """Output positions, so multiply-adds of each active entry."""
    sparse: bool

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def macs(self) -> int:
        """If all of it were active."""
        return self.size * self.uses


Costs = Mapping[str, Cost]
Counts = dict[str, int]


def matched(costs: Costs, weights: Mapping[str, int]) -> Counts:
    """Active weights by which every layer costs what its dense one costs.

    Where layers that stay dense have grown (the ends of Sparse Wide), the others pay for them in equal shares.

    Args:
        costs: of every weight of the new network.
        weights: of each layer of the dense network.

    Raises:
        ModelError: a layer too small to be made so sparse.
        BudgetError: the layers that stay dense cost more than the whole dense network.
    """
    uses = {cost.site: cost.uses for cost in costs.values()}
    inside = {site: [name for name, cost in costs.items() if cost.site == site] for site in weights}
    sparse = {site: [name for name in names if costs[name].sparse] for site, names in inside.items()}
    payers = sum(weights[site] * uses[site] for site in weights if sparse[site])
    grown = sum(
        sum(costs[name].macs for name in inside[site]) - weights[site] * uses[site] for site in weights if not sparse[site]
    )
    if grown >= payers:
        raise _too_dear(f"layers that stay dense grow by {grown} multiply-adds, and the sparse ones had {payers}")
    counts = {name: cost.size for name, cost in costs.items() if not cost.sparse}
    for site, names in sparse.items():
        if names:
            own = math.floor(weights[site] * (payers - grown) / payers)
            room = own - sum(counts[name] for name in inside[site] if name in counts)
            counts |= _spread(site, {name: costs[name].shape for name in names}, room)
    return _filled(costs, counts, sum(weights[site] * uses[site] for site in weights))


def bisected(costs: Costs, weights: Mapping[str, int], allocation: Allocation) -> Counts:
    """Active weights by one density for all sparse parts, shared out by `allocation`, found by bisection on the total.

    Raises:
        BudgetError: no density meets the dense network's multiply-adds to within `TOLERANCE`.
    """
    uses = {cost.site: cost.uses for cost in costs.values()}
    total = sum(count * uses[site] for site, count in weights.items())
    fixed = {name: cost.size for name, cost in costs.items() if not cost.sparse}
    shapes = {name: cost.shape for name, cost in costs.items() if cost.sparse}
    room = total - sum(costs[name].macs for name in fixed)
    if room <= 0 < len(shapes):
        raise _too_dear(f"what stays dense costs {total - room} multiply-adds, and the whole dense network {total}")

    def shared(density: float) -> Counts:
        shares = allocation.densities(shapes, density)
        return {name: math.floor(shares[name] * costs[name].size + 1e-6) for name in shapes}

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        spent = sum(count * costs[name].uses for name, count in shared(middle).items())
        low, high = (middle, high) if spent <= room else (low, middle)
    counts = _filled(costs, fixed | shared(low), total)
    reached = sum(count * costs[name].uses for name, count in counts.items())
    if abs(reached - total) > TOLERANCE * total:
        raise BudgetError(
            f"no density brings {reached} multiply-adds to within {TOLERANCE:g} of the dense {total}; match every layer "
            "instead: allocation=None."
        )
    return {name: counts[name] for name in costs}


def _spread(site: str, shapes: Mapping[str, tuple[int, ...]], room: int) -> Counts:
    size = sum(map(math.prod, shapes.values()))
    if not len(shapes) <= room <= size:
        raise ModelError(
            f"{site} is too small: {max(room, 0)} active weights for {len(shapes)} sparse parts of {size} weights. Lower the "
            f'sparsity, or leave it as it is: exclude="{site}".'
        )
    return layer_counts(shapes, room / size, Uniform())


def _filled(costs: Costs, counts: Counts, total: int) -> Counts:
    """Give what rounding left over to sparse parts, the dearest first, without passing the total."""
    left = total - sum(count * costs[name].uses for name, count in counts.items())
    filled = dict(counts)
    open_to_more: Sequence[str] = [name for name, cost in costs.items() if cost.sparse and cost.uses]
    for name in sorted(open_to_more, key=lambda name: -costs[name].uses):
        more = max(0, min(left // costs[name].uses, costs[name].size - filled[name]))
        filled[name] += more
        left -= more * costs[name].uses
    return {name: filled[name] for name in costs}


def _too_dear(said: str) -> BudgetError:
    return BudgetError(f"{said}, so that nothing is left. Let the first and the last layer be sparse too: dense=().")
