"""Training on real images: any of the networks, with any training method, and what the trained network is good for."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fewer.compare.task import Direction, Measurement, Task
from fewer.core import Budget, Density, Method
from fewer.core.detect import detect
from fewer.data.images import DEFAULT, default_images, load
from fewer.data.split import shuffled
from fewer.errors import BudgetError, MethodError, ModelError
from fewer.measure.flops import count
from fewer.measure.quality import classification
from fewer.weights.flow import effective_weights
from fewer.weights.networks import CifarResNet, Network, ViT
from fewer.weights.tasks.reliability import attacked_accuracy, fitted, known_from_foreign, logits_of, pixel_noise
from fewer.weights.training.at_width import AtWidth
from fewer.weights.training.gradient_norms import GradientNorms
from fewer.weights.training.moment import Masks, active
from fewer.weights.training.problem import AdamWRecipe, Problem, Recipe
from fewer.weights.training.trainer import Trained, Trainer

NOISE = "noise"


class Pictures(NamedTuple):
    """A loaded set, as tensors."""

    train_x: Float[Tensor, "train channels height width"]
    train_y: Int[Tensor, " train"]
    test_x: Float[Tensor, "test channels height width"]
    test_y: Int[Tensor, " test"]
    classes: int
    source: str


@dataclass(frozen=True)
class ImageTraining(Task):
    """Trains a network from scratch with each method, and tests accuracy, calibration and robustness.

    Pixels are in [0, 1] and are not standardised further. A seed fixes initial weights, masks, order and augmentation.
    An arm may bring its own width (`AtWidth`).
    """

    name: str = "image-training"
    images: str = "digits"
    """A set that `fewer data list` knows."""
    test: float | None = None
    """Share of all images to test on, drawn once for all by a fixed shuffle; None keeps the set's own parts."""
    network: Network = field(default=CifarResNet(8))
    width: int = 8
    recipe: Recipe = field(default=Recipe())
    augment: bool = False
    """Mirror half of the training images and shift each by up to an eighth of its side."""
    foreign: str = NOISE
    """The set that is to be told from the known images: "noise", uniform pixels, or a name like `images`."""
    epsilon: float = 8 / 255
    """Change of each pixel in the attack."""
    device: str = "cpu"
    """A name of torch's, or "auto": a GPU where there is one."""

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {
            "accuracy": "higher",
            "nll": "lower",
            "ece": "lower",
            "worst_class": "higher",
            "attacked": "higher",
            "ood_auroc": "higher",
        }

    @property
    def data(self) -> str:
        found = pictures(self.images, self.test)
        size = " x ".join(map(str, found.train_x.shape[1:]))
        return (
            f"{self.images} ({found.source}), images of {size}: {len(found.train_y):,} to train, {len(found.test_y):,} "
            f"to test; foreign images: {self.foreign}"
        )

    @property
    def place(self) -> torch.device:
        """Where the networks are trained."""
        return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device)

    @property
    def problem(self) -> Problem:
        found = pictures(self.images, self.test)
        shape = tuple(found.train_x.shape[1:])

        def build(width: int) -> nn.Module:
            return self.network.build(width, shape, found.classes).to(self.place)  # type: ignore[arg-type]

        return Problem(
            found.train_x.to(self.place),
            found.train_y.to(self.place),
            build,
            self.width,
            self.recipe,
            mirrored_and_shifted if self.augment else None,
        )

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for a method that does not train, BudgetError for a budget that is no density."""
        if not isinstance(method, Trainer):
            raise MethodError(
                f"{method.slug or type(method).__name__} does not train, and {self.name} compares training methods, such as "
                "random-pruning, rigl, set, snip-training, gradual-magnitude."
            )
        if not isinstance(budget, Density):
            raise BudgetError(f"{self.name} needs a density, such as Density(0.1), not {budget}.")
        if isinstance(method, AtWidth):
            return replace(self, width=method.width).measure(method.trainer, budget, seed)
        norms = GradientNorms()
        problem = replace(self.problem, watch=norms)
        trained = replace(method, seed=seed).train(problem, 1.0 if method.kind == "dense" else budget.share)
        quality = self._quality(trained.model, seed)
        return self._measurement(method, problem, trained, quality, norms)

    def close(self) -> None:
        pictures.cache_clear()

    def _quality(self, model: nn.Module, seed: int) -> dict[str, float]:
        found = pictures(self.images, self.test)
        x, y = found.test_x.to(self.place), found.test_y.to(self.place)
        if self.foreign == NOISE:
            foreign = pixel_noise(tuple(x.shape), seed)
        else:
            foreign = fitted(pictures(self.foreign, None).test_x, tuple(x.shape[1:]))  # type: ignore[arg-type]
        known = logits_of(model, x)
        tested = classification(known.cpu(), found.test_y)._asdict()
        tested["attacked"] = attacked_accuracy(model, x, y, self.epsilon)
        tested["ood_auroc"] = known_from_foreign(known, logits_of(model, foreign.to(self.place)))
        return {name: tested[name] for name in self.quality}

    def _measurement(
        self, method: Trainer, problem: Problem, trained: Trained, quality: dict[str, float], norms: GradientNorms
    ) -> Measurement:
        model, masks, record = trained
        sample = problem.inputs[:1]
        flops, whole = count(model, sample, masks=masks), count(problem.build(problem.width), sample)
        kept, parameters = active(masks), sum(p.numel() for p in problem.build(problem.width).parameters())
        unmasked = sum(p.numel() for p in model.parameters()) - sum(mask.numel() for mask in masks.values())
        facts = {
            "macs_active": flops.active / 2,
            "macs_dense": whole.dense / 2,
            "simulated": float(method.form != "dense"),  # a masked weight in a dense product is still multiplied
            "peak_density": record.peak_density,
            "train_macs": record.macs,
            "memory_peak": record.peak_bytes,
            "r_itop": record.r_itop,
            "churn": record.churn,
            "nominal_density": kept / record.size,
            "total_density": (kept + unmasked) / parameters,
        }
        with contextlib.suppress(ModelError):  # where paths say nothing, as through attention, the line is left out
            facts["effective_density"] = effective_weights(model, masks, sample) / record.size
        return Measurement(
            quality=quality,
            cost={
                "weights": float(kept),
                "parameters": float(kept + unmasked),
                "flops": float(flops.active),
                "train_macs": float(record.macs),
            },
            detail={
                "layers": [{"name": n, "shape": list(m.shape), "density": float(m.float().mean())} for n, m in masks.items()],
                "facts": {name: float(value) for name, value in facts.items()},
                "detected": {name: detect(mask.flatten(1)) for name, mask in masks.items()},
                "dead": dead(masks),
                "gradient_norms": {"steps": norms.steps, "norms": norms.norms},
            },
        )


def small_resnet() -> ImageTraining:
    """ResNet-8, 8 wide, seconds a training: MNIST where this machine has it, else the embedded digits."""
    found = default_images().name
    return ImageTraining(images=found, recipe=Recipe(epochs=3 if found == DEFAULT else 20, rate=0.1))


def small_vit() -> ImageTraining:
    """A ViT of four blocks, 32 wide, on the same images in 4 x 4 patches."""
    found = default_images().name
    large = found == DEFAULT
    return ImageTraining(
        images=found, network=ViT(patch=7 if large else 2), width=32, recipe=AdamWRecipe(epochs=10 if large else 30, rate=3e-3)
    )


def dead(masks: Masks) -> dict[str, dict[str, int]]:
    """For each layer: outputs that read no input (rows) and inputs that no output reads (columns)."""
    matrices = {name: mask.flatten(2).any(2) if mask.ndim > 2 else mask for name, mask in masks.items()}
    return {n: {"rows": int((~m.any(1)).sum()), "columns": int((~m.any(0)).sum())} for n, m in matrices.items()}


def mirrored_and_shifted(x: Float[Tensor, "n c h w"], generator: torch.Generator) -> Float[Tensor, "n c h w"]:
    """Each image mirrored with chance one half, and moved by up to an eighth of its side, zeros coming in."""
    side = x.shape[-1] // 8
    padded = torch.nn.functional.pad(x, (side,) * 4)
    places = torch.randint(0, 2 * side + 1, (len(x), 2), generator=generator)
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    moved = [p[:, r : r + x.shape[2], c : c + x.shape[3]] for p, (r, c) in zip(padded, places.tolist(), strict=True)]
    stacked = torch.stack(moved)
    return torch.where(mirrored.to(x.device)[:, None, None, None], stacked.flip(-1), stacked)


@lru_cache(maxsize=4)
def pictures(name: str, test: float | None = None) -> Pictures:
    """The set `name` as tensors, in its own parts or in a fixed shuffle of all its images.

    Raises:
        DataError: as `fewer.data.images.load`.
        BudgetError: a share that leaves no image to train or to test on.
    """
    images = load(name)
    x = [images.train_x, images.test_x]
    y = [images.train_y, images.test_y]
    if test is not None:
        rows = len(y[0]) + len(y[1])
        held = round(rows * Density(test).share)
        if not 0 < held < rows:
            raise BudgetError(f"a share of {test:g} of {rows} images leaves none to train or none to test on.")
        parts = shuffled(rows, test=held)
        x, y = ([np.concatenate(both)[part] for part in parts] for both in (x, y))
    train_x, test_x, train_y, test_y = map(torch.from_numpy, (*x, *y))
    return Pictures(train_x, train_y, test_x, test_y, len(images.classes), images.source)
