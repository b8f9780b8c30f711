"""Sparse-IFT (Thangarasa et al. 2023, arXiv 2303.11525): train the larger, sparser network in place of the dense one."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from fewer.core import register, stream
from fewer.core.method import Kind as MethodKind
from fewer.core.method import Phase
from fewer.errors import MethodError
from fewer.weights.iso_flop.plan import Nonlinearity
from fewer.weights.iso_flop.sites import End
from fewer.weights.iso_flop.sizes import widened
from fewer.weights.iso_flop.start import Init
from fewer.weights.iso_flop.transform import IsoFlop, Kind, iso_flop
from fewer.weights.training.dense import DenseTraining, WholeTrainer
from fewer.weights.training.moment import full
from fewer.weights.training.problem import Problem
from fewer.weights.training.random_pruning import RandomPruning
from fewer.weights.training.record import Record
from fewer.weights.training.rigl import RigL
from fewer.weights.training.scratch import FromScratch
from fewer.weights.training.start import he_normal
from fewer.weights.training.trainer import Trained, Trainer


@register
@dataclass(frozen=True)
class SparseIFT(Trainer):
    """A budget of density 1 - s makes the network 1 / (1 - s) times as large, at the multiply-adds of the dense one.

    Nothing else of the training is changed. Its random twin has the same layers at the same densities, and a mask that
    never moves.
    """

    slug: ClassVar[str] = "sparse-ift"

    transformation: Kind = "wide"
    base: FromScratch = field(default=RigL())
    """Whose rule moves the masks: RigL, SET, or none at all. Its own length and allocation are not used."""
    dense: Collection[End] = ("first", "last")
    allocation: str | None = None
    nonlinearity: Nonlinearity | None = None
    sparse_v: bool = True
    init: Init = "sparse"
    """This and the above: see `iso_flop`."""

    def __post_init__(self) -> None:
        if not isinstance(self.base, FromScratch):
            raise MethodError(
                f"the base of sparse-ift starts with a random mask (RigL, SET, RandomPruning), not {self.base!r}."
            )

    @property
    def kind(self) -> MethodKind:  # type: ignore[override]
        return self.base.kind

    @property
    def phase(self) -> Phase:  # type: ignore[override]
        return self.base.phase

    def score(self, *subject: Any) -> Float[Tensor, "..."]:
        return self._mover.score(*subject)

    def random_twin(self) -> "SparseIFT":
        return dataclasses.replace(self, base=RandomPruning())

    def transformed(self, problem: Problem, density: float) -> IsoFlop:
        """The network before training."""
        options: dict[str, Any] = {
            "inputs": problem.inputs[:1],
            "dense": self.dense,
            "allocation": self.allocation,
            "nonlinearity": self.nonlinearity,
            "sparse_v": self.sparse_v,
            "init": self.init,
            "seed": self.seed,
        }
        if self.transformation == "wide":
            return iso_flop(problem.build, "wide", 1 - density, width=problem.width, **options)
        model = problem.build(problem.width)
        he_normal(model, full(model), stream(self.seed, "weights"))  # of layers that stay as they are
        return iso_flop(model, self.transformation, 1 - density, **options)

    def train(self, problem: Problem, density: float) -> Trained:
        model, masks, _ = self.transformed(problem, density)
        record = Record(sum(mask.numel() for mask in masks.values()))
        masks = problem.fit(model, self.length, self.seed, masks=masks, rule=self._mover.rule(), record=record)
        return Trained(model, masks, record)

    @property
    def _mover(self) -> FromScratch:
        return dataclasses.replace(self.base, seed=self.seed)


@register
@dataclass(frozen=True)
class DenseWide(WholeTrainer):
    """Trains the network of Sparse Wide without a mask: what the width is worth if nothing need be saved."""

    slug: ClassVar[str] = "dense-wide"

    def train(self, problem: Problem, density: float) -> Trained:
        wider = dataclasses.replace(problem, width=widened(problem.width, 1 - density))
        return DenseTraining(self.length, seed=self.seed).train(wider)
