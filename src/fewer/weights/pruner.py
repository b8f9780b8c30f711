"""A pruner: a method whose subject is a layer's weight matrix and what was seen of its input."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor

from fewer.core import Budget, Method, Pattern, Rows, Selection, select
from fewer.weights.seen import Seen


class Pruned(NamedTuple):
    """A pruned layer."""

    weight: Float[Tensor, "out in"]
    """What is left, zeros where nothing is kept."""
    selection: Selection
    """Which entries are kept."""


@dataclass(frozen=True)
class Pruner(Method):
    """score -> select -> (refine) -> apply, for one layer.

    A method overrides `score`. One that improves a given mask overrides `refine`; one that moves the weights that stay
    overrides `apply`, or `prune` where choosing and moving take turns.
    """

    statistics: ClassVar[type[Seen]] = Seen
    """What has to be seen of a layer's input before it can be scored."""
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

    def prune(self, weight: Float[Tensor, "out in"], seen: Any, budget: Budget) -> Pruned:
        """All steps for one layer. Raises what `select` raises."""
        selection = select(self.score(weight, seen), self.pattern, budget, seen.name)
        selection = self.refine(selection, weight, seen)
        return Pruned(self.apply(weight, selection, seen), selection)

    @property
    def walks(self) -> bool:
        """Does it need a calibration walk?"""
        return self.statistics is not Seen
