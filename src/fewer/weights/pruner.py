"""A pruner: a method whose subject is a layer's weight matrix and what was seen of its input."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor

from fewer.core import Budget, Method, Pattern, Rows, Selection, select
from fewer.weights.seen import Seen, together


class Pruned(NamedTuple):
    """A pruned layer."""

    weight: Float[Tensor, "out in"]
    """What is left, zeros where nothing is kept."""
    selection: Selection
    """Which entries are kept."""
    report: Mapping[str, float] = {}
    """What `Pruner.report` says."""


@dataclass(frozen=True)
class Pruner(Method):
    """score -> select -> (refine) -> apply, for one layer.

    A method overrides `score`. One that improves a given mask overrides `refine`; one that moves the weights that stay
    overrides `apply`, or `prune` where choosing and moving take turns.
    """

    statistics: ClassVar[type[Seen]] = Seen
    """What has to be seen of a layer's input by this method itself; `gathers` is all that it needs."""
    needs_pretrained: ClassVar[bool] = True

    pattern: Pattern = field(default=Rows())

    def score(self, weight: Float[Tensor, "out in"], seen: Any) -> Float[Tensor, "out in"]:
        """Larger = keep."""
        raise NotImplementedError

    def refine(self, selection: Selection, weight: Float[Tensor, "out in"], seen: Any) -> Selection:
        """Another selection of the same size."""
        return selection

    def apply(self, weight: Float[Tensor, "out in"], selection: Selection, seen: Any) -> Float[Tensor, "out in"]:
        """The weights after the others are gone."""
        return weight * selection.mask

    def report(self, weight: Float[Tensor, "out in"], first: Selection, last: Selection, seen: Any) -> dict[str, float]:
        """Numbers by name on what was done to a layer, `first` being its selection before refining."""
        return {}

    def prune(self, weight: Float[Tensor, "out in"], seen: Any, budget: Budget) -> Pruned:
        """All steps for one layer. Raises what `select` raises."""
        first = select(self.score(weight, seen), self.pattern, budget, seen.name)
        last = self.refine(first, weight, seen)
        return Pruned(self.apply(weight, last, seen), last, self.report(weight, first, last, seen))

    @property
    def gathers(self) -> type[Seen]:
        """What a walk gathers for this method and for those that are its parameters (the base of `dsnot`)."""
        values = (getattr(self, f.name) for f in dataclasses.fields(self))
        return together(self.statistics, *(value.gathers for value in values if isinstance(value, Pruner)))

    @property
    def walks(self) -> bool:
        """Does it need a calibration walk?"""
        return self.gathers is not Seen
