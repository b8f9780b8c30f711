"""Training networks that capacity limits: the loss first, which tells such networks apart before accuracy does."""

from collections.abc import Mapping
from dataclasses import dataclass

from fewer.compare.task import Direction
from fewer.weights.tasks.images import ImageTraining


@dataclass(frozen=True)
class NarrowTraining(ImageTraining):
    """`ImageTraining`, judged by cross-entropy, accuracy and calibration."""

    name: str = "narrow-training"

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"nll": "lower", "accuracy": "higher", "ece": "lower"}
