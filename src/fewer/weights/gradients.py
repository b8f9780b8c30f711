"""Gradients of the loss on calibration data, for scores that ask how much the loss would change."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewer.errors import CalibrationError
from fewer.measure.evaluating import evaluating
from fewer.weights.layers import Layer
from fewer.weights.seen import Seen
from fewer.weights.walk import Batch

Loss = Callable[[nn.Module, Batch], Tensor]


class Gradient(Seen):
    """dL/dW of one layer."""

    gradient: Float[Tensor, "out in"]
    """Summed over the calibration batches."""


def language_model_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Next-token cross-entropy of a causal language model in nats a token. `batch` is token ids [sequences, length]."""
    if not isinstance(batch, Tensor) or batch.is_floating_point():
        raise CalibrationError("a gradient score needs a loss; for batches other than token ids pass loss=f(model, batch).")
    return model(input_ids=batch, labels=batch, use_cache=False).loss


def gather_gradients(
    model: nn.Module, layers: Mapping[str, Layer], batches: Sequence[Batch], loss: Loss
) -> dict[str, Gradient]:
    """One backward pass a batch, over the dense model; only the layers' weights get gradients.

    Raises:
        CalibrationError: no batches, a loss that is not finite, or a layer that the loss does not depend on.
    """
    if not batches:
        raise CalibrationError("the calibration data are empty. Give at least one batch.")
    wanted = {p: p.requires_grad for p in model.parameters()}
    kept = {p: p.grad for p in model.parameters()}
    weights = {layer.module.weight for layer in layers.values()}
    try:
        for parameter in wanted:
            parameter.requires_grad_(parameter in weights)
            parameter.grad = None
        with evaluating(model), torch.enable_grad():
            for batch in batches:
                value = loss(model, batch)
                if not value.isfinite():
                    raise CalibrationError(
                        f"the loss on the calibration data is {float(value.detach())}; look at the data and the weights."
                    )
                value.backward()
        gathered = {}
        for name, layer in layers.items():
            if layer.module.weight.grad is None:
                raise CalibrationError(f"the loss does not depend on {name}. Exclude it.")
            seen = gathered[name] = Gradient(name, layer.shape[1])
            seen.tokens = len(batches)
            seen.gradient = layer.as_matrix(layer.module.weight.grad)
        return gathered
    finally:
        for parameter, requires in wanted.items():
            parameter.grad = kept[parameter]
            parameter.requires_grad_(requires)
