"""The loss of a sub-network as it is, with no update: on training data at initialisation, or on a validation part."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewer.errors import ScoreError
from fewer.weights.search.evaluation import Bound
from fewer.weights.search.subnetwork import Subnetwork
from fewer.weights.search.uses import forward_macs


@dataclass(frozen=True, eq=False)
class Loss:
    """Mean cross-entropy over fixed data.

    The sum over the batches so far, divided by all samples, bounds it from below: no batch takes anything back.
    """

    inputs: Float[Tensor, "samples ..."]
    labels: Int[Tensor, " samples"]
    batch: int | None = None
    """Samples between two bounds; all at once when None. A search that cuts needs several batches to save anything."""

    def __post_init__(self) -> None:
        if not 0 < len(self.labels) == len(self.inputs) or (self.batch is not None and self.batch < 1):
            raise ScoreError(
                f"a loss needs samples, a label for each, and batches of at least 1; there are {len(self.inputs)} samples, "
                f"{len(self.labels)} labels, and the batch is {self.batch}."
            )

    def bounds(self, parent: nn.Module, candidate: Subnetwork) -> Iterator[Bound]:
        model, masks = candidate.cut(parent)
        return self.of(model, forward_macs(parent, self.inputs, masks))

    def of(self, model: nn.Module, each: int, spent: int = 0) -> Iterator[Bound]:
        """The loss of a network that takes `each` multiply-adds a sample, after `spent`."""
        model.eval()
        size, total, seen = len(self.labels), 0.0, 0
        parts = range(0, size, self.batch or size)
        for start in parts:
            stop = min(size, start + (self.batch or size))
            with torch.no_grad():
                outputs = model(self.inputs[start:stop])
                total += float(cross_entropy(outputs, self.labels[start:stop], reduction="sum"))
            seen = stop
            yield Bound(total / size, spent + seen * each, exact=seen == size)
