"""Dense to sparse: train the whole network, cut it, train what is left."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Self

from fewer.core.method import Phase
from fewer.weights.training.dense import DenseTraining
from fewer.weights.training.moment import Masks, Moment, maskable
from fewer.weights.training.problem import Problem
from fewer.weights.training.trainer import Trained, Trainer


@dataclass(frozen=True)
class Finetuned(Trainer):
    """A method says what is cut; its cost includes the dense training that comes before."""

    phase: ClassVar[Phase] = "after"
    needs_pretrained: ClassVar[bool] = True

    extra: float = 1.0
    """Epochs after the cut, in those of the recipe, with the learning rate from its start again; 0 for none."""

    @property
    def needs_data(self) -> bool:  # type: ignore[override]
        return self.extra > 0

    @property
    def epochs(self) -> float:
        return self.length + self.extra

    def stretched(self, factor: float) -> Self:
        return dataclasses.replace(self, extra=self.extra * factor)

    def cut(self, problem: Problem, layers: dict[str, Moment], density: float) -> Masks:
        """Masks for a trained dense network."""
        raise NotImplementedError

    def train(self, problem: Problem, density: float) -> Trained:
        model, _, record = DenseTraining(self.length, seed=self.seed).train(problem)
        layers = {name: Moment(name, weight.detach()) for name, weight in maskable(model).items()}
        masks = self.cut(problem, layers, density)
        # With no epochs left the masks are laid on all the same.
        problem.fit(model, self.extra, self.seed, "extra", masks=masks, record=record)
        return Trained(model, masks, record)
