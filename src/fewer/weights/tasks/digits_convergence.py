"""Training on digits with an eye on how fast: accuracy in the end, and epochs until a held-out part is mostly right."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fewer.compare.task import Direction, Measurement, Task
from fewer.core import Budget, Density, Method
from fewer.core.one_thread import one_thread
from fewer.data.images import Images, load
from fewer.errors import BudgetError, MethodError
from fewer.measure.quality import classification
from fewer.weights.networks.perceptron import perceptron
from fewer.weights.search.random_search import RandomSearch
from fewer.weights.training.moment import Masks, active
from fewer.weights.training.problem import Problem, Recipe
from fewer.weights.training.trainer import Trained, Trainer

RECIPE = Recipe(epochs=30, rate=0.05, falls=(), momentum=0.9, weight_decay=0.0, batch=64)


class Parts(NamedTuple):
    """One split of a set of images."""

    train_x: Float[Tensor, "train pixels"]
    train_y: Int[Tensor, " train"]
    valid_x: Float[Tensor, "valid pixels"]
    valid_y: Int[Tensor, " valid"]
    test_x: Float[Tensor, "test pixels"]
    test_y: Int[Tensor, " test"]


@cache
def _images(name: str) -> Images:
    return load(name)


@dataclass(frozen=True)
class DigitsConvergence(Task):
    """Trains a perceptron with each method: accuracy and loss on a test part, epochs to `goal` accuracy on a validation part.

    A seed fixes the split too: 40% to test; of the rest a fifth is held out for validation and never trained, searched or
    chosen on. A network that does not get to `goal` counts as one epoch more than it was trained.
    """

    name: str = "digits-convergence"
    images: str = "digits"
    width: int = 256
    recipe: Recipe = RECIPE
    goal: float = 0.9
    """Validation accuracy."""

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"accuracy": "higher", "nll": "lower", "epochs_to_goal": "lower"}

    @property
    def data(self) -> str:
        found = _images(self.images)
        rows = len(found.train_y) + len(found.test_y)
        test, valid = _sizes(rows)
        train = rows - test - valid
        return f"{self.images} ({found.source}), {rows} images, split anew by each seed: {train} to train, {test} to test"

    def parts(self, seed: int) -> Parts:
        """The split of one seed."""
        found = _images(self.images)
        x = np.concatenate([found.train_x, found.test_x]).reshape(len(found.train_y) + len(found.test_y), -1)
        y = np.concatenate([found.train_y, found.test_y])
        test, valid = _sizes(len(y))
        order = np.random.default_rng(seed).permutation(len(y))
        cuts = np.split(order, [len(y) - test - valid, len(y) - test])
        return Parts(*(torch.from_numpy(values[cut]) for cut in cuts for values in (x, y)))

    @property
    def problem(self) -> Problem:
        """That of seed 0."""
        return self.problem_of(self.parts(0))

    def problem_of(self, parts: Parts) -> Problem:
        """Training on one split."""
        pixels, classes = parts.train_x.shape[1], len(_images(self.images).classes)
        return Problem(
            parts.train_x, parts.train_y, lambda width: perceptron(pixels, width, width, classes), self.width, self.recipe
        )

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for a method that does not train, BudgetError for a budget that is no density."""
        if not isinstance(method, Trainer):
            raise MethodError(f"{method.slug} does not train a network, and {self.name} compares methods that do.")
        if not isinstance(budget, Density):
            raise BudgetError(f"{self.name} needs a density, such as Density(0.1), not {budget}.")
        arm: Trainer = replace(method, seed=seed)
        parts = self.parts(seed)
        goal = Goal(parts, self.goal, self.problem_of(parts).steps(1.0) // self.recipe.epochs)
        problem = replace(self.problem_of(parts), watch=goal.watch)
        with one_thread():
            trained, facts = _trained(arm, problem, budget.share)
            goal.look(trained.model, round(arm.epochs * self.recipe.epochs))
            with torch.inference_mode():
                tested = classification(trained.model(parts.test_x), parts.test_y)
        kept, record = active(trained.masks), trained.record
        facts |= {
            "macs_active": kept,
            "macs_dense": record.size,
            "train_macs": record.macs,
            "nominal_density": kept / record.size,
        }
        never = round(arm.epochs * self.recipe.epochs) + 1
        return Measurement(
            {"accuracy": tested.accuracy, "nll": tested.nll, "epochs_to_goal": float(goal.reached or never)},
            {"weights": float(kept), "train_macs": float(record.macs)},
            {"facts": {name: float(value) for name, value in facts.items()}},
        )


class Goal:
    """Looks at a network after every epoch of its training, until it is good enough."""

    def __init__(self, parts: Parts, goal: float, steps: int):
        self._parts, self._goal, self._steps = parts, goal, steps
        self.reached: int | None = None
        """The first epoch after which it was."""

    def watch(self, step: int, model: nn.Module, masks: Masks) -> None:
        """For `Problem.watch`, which is called before a step is taken."""
        if step and step % self._steps == 0:
            self.look(model, step // self._steps)

    def look(self, model: nn.Module, epoch: int) -> None:
        if self.reached is None:
            with torch.no_grad():
                right = model(self._parts.valid_x).argmax(1) == self._parts.valid_y
            if float(right.float().mean()) >= self._goal:
                self.reached = epoch


def _trained(arm: Trainer, problem: Problem, density: float) -> tuple[Trained, dict[str, float]]:
    if not isinstance(arm, RandomSearch):
        return arm.train(problem, density), {}
    searched = arm.search(problem, density)
    found = searched.found
    began = time.perf_counter()
    trained = arm.train_found(problem, searched)
    seconds = time.perf_counter() - began
    chosen = found.score if arm.pick == "winner" else max(found.scores)
    searching = found.multiply_adds if arm.samples > 1 else 0
    return trained, {
        "initial_score": chosen,
        "search_macs": searching,
        "search_share": searching / (trained.record.macs - searching),
        "search_share_seconds": found.seconds / seconds,
    }


def _sizes(rows: int) -> tuple[int, int]:
    """Of the test and the validation part."""
    test = round(0.4 * rows)
    return test, round(0.2 * (rows - test))
