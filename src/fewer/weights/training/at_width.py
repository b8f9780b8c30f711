"""The same training at another width: a second axis for a comparison, named in its arms ("erk@16", "erk@256")."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self

from jaxtyping import Float
from torch import Tensor

from fewer.core.method import Kind, Phase
from fewer.errors import MethodError
from fewer.weights.training.problem import Problem
from fewer.weights.training.trainer import Form, Trained, Trainer


@dataclass(frozen=True)
class AtWidth(Trainer):
    """Trains what `trainer` trains, on a network of `width` in place of the problem's own. Densities are shares of that one.

    In all else it is the trainer: kind, phase, twins.

    Raises:
        MethodError: a width below 1, or a trainer that has a width already.
    """

    length: float = field(init=False)
    """The trainer's."""
    trainer: Trainer
    width: int

    def __post_init__(self) -> None:
        if self.width < 1:
            raise MethodError(f"a network needs a width of at least 1, not {self.width}.")
        if isinstance(self.trainer, AtWidth):
            raise MethodError(f"the trainer has a width already, {self.trainer.width}; give the one inside it.")
        object.__setattr__(self, "length", self.trainer.length)

    def score(self, *subject: Any) -> Float[Tensor, "..."]:
        return self.inside.score(*subject)

    def train(self, problem: Problem, density: float) -> Trained:
        return self.inside.train(dataclasses.replace(problem, width=self.width), density)

    @property
    def inside(self) -> Trainer:
        """The trainer with this seed."""
        return dataclasses.replace(self.trainer, seed=self.seed)

    @property
    def slug(self) -> str:  # type: ignore[override]
        return self.trainer.slug

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return self.trainer.kind

    @property
    def phase(self) -> Phase:  # type: ignore[override]
        return self.trainer.phase

    @property
    def form(self) -> Form:  # type: ignore[override]
        return self.trainer.form

    @property
    def pattern(self) -> str:  # type: ignore[override]
        return self.trainer.pattern

    @property
    def needs_data(self) -> bool:  # type: ignore[override]
        return self.trainer.needs_data

    @property
    def needs_pretrained(self) -> bool:  # type: ignore[override]
        return self.trainer.needs_pretrained

    @property
    def epochs(self) -> float:
        return self.trainer.epochs

    def stretched(self, factor: float) -> Self:
        return dataclasses.replace(self, trainer=self.trainer.stretched(factor))

    def random_twin(self) -> "AtWidth":
        return dataclasses.replace(self, trainer=self.trainer.random_twin())  # type: ignore[arg-type]

    def uniform_twin(self) -> "AtWidth":
        return dataclasses.replace(self, trainer=self.trainer.uniform_twin())  # type: ignore[arg-type]
