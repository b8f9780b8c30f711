"""What a comparison of feedback runs: searches without it, and feedback with its random twin."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from fewer.core.method import Kind, Method
from fewer.retrieval.feedback.prf_interpolation import Where
from fewer.retrieval.feedback.vector import Average, Feedback, Rocchio


@dataclass(frozen=True)
class Search(Method):
    """One side alone, without feedback."""

    slug: ClassVar[str] = "search"
    kind: ClassVar[Kind] = "dense"  # nothing is selected

    side: Literal["dense", "sparse"] = "dense"


@dataclass(frozen=True)
class Fusion(Method):
    """Both sides as one list, without feedback."""

    slug: ClassVar[str] = "fusion"
    kind: ClassVar[Kind] = "dense"

    weight: float | None = None
    """Of the sparse list; None: chosen on one half of the queries for the other."""


@dataclass(frozen=True)
class InterpolatedFeedback(Method):
    """Feedback from the documents with the highest scores in the first list.

    The budget is the share of the first list's head (its pool) that is listened to.
    """

    slug: ClassVar[str] = "prf-interpolation"

    feedback: Literal["average", "rocchio"] = "rocchio"
    interpolate: Where = "both"
    weight: float | None = None
    """As in `Fusion`."""

    def score(self, found: Float[Tensor, "queries pool"]) -> Tensor:
        """The retrieval scores themselves; the twin's are noise."""
        return found

    def formula(self, depth: int) -> Feedback:
        """What is done with so many documents."""
        return Average(depth) if self.feedback == "average" else Rocchio(depth)

    def permuted(self) -> "PermutedSparse":
        """The same, but the sparse list that is mixed in afterwards has its scores dealt out anew among the documents."""
        return PermutedSparse(**{f.name: getattr(self, f.name) for f in fields(self)})

    def configuration(self) -> dict[str, Any]:
        return {**super().configuration(), "alpha, beta": (0.4, 0.6) if self.feedback == "rocchio" else "equal"}


@dataclass(frozen=True)
class PermutedSparse(InterpolatedFeedback):
    """A control: as much interpolation, by a list that says nothing."""

    slug: ClassVar[str] = "permuted-sparse"
    kind: ClassVar[Kind] = "random"
