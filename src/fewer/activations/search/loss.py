"""What a search makes small: the loss of a model whose sites are settled anew for every try."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fewer.activations.layers import Batch, batches_of
from fewer.activations.report import on_all_tokens
from fewer.errors import CalibrationError, SearchError
from fewer.measure.quality import perplexity

Loss = Callable[[nn.Module], float]
"""Of the model as it is now, all tokens sparse; lower is better."""


def language_loss(calibration: Any) -> Loss:
    """Mean negative log-likelihood of token ids, nats a token.

    Raises:
        CalibrationError: the calibration data are no token ids [sequences, length].
    """
    batches: Sequence[Batch] = batches_of(calibration)
    if not isinstance(calibration, Tensor) or calibration.ndim != 2 or calibration.is_floating_point():
        raise CalibrationError(
            f"without loss= a search needs token ids [sequences, length] as calibration data, not {len(batches)} batches of "
            f"{type(batches[0]).__name__}. Give loss=, a function of the model."
        )
    return lambda model: perplexity(model, calibration).nll


def measured(model: nn.Module, loss: Loss) -> float:
    """The loss with every token sparse, without gradients. Raises SearchError when it is NaN."""
    with torch.no_grad(), on_all_tokens(model):
        found = float(loss(model))
    if found != found:
        raise SearchError("the loss of a setting is NaN: look at loss=, or for overflow in the model.")
    return found
