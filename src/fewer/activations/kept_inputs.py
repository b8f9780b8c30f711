"""How many inputs are kept on data that thresholds were not calibrated on."""

from typing import Any, NamedTuple

from torch import nn

from fewer.activations.layers import batches_of, watch
from fewer.activations.report import on_all_tokens, sparsity_of


class KeptInputs(NamedTuple):
    """What was kept."""

    inputs: dict[str, float]
    """First name of each site -> share of its inputs that went through the weights."""
    touched: float
    """Share of the weights of all linear layers but the head that were read."""


def measure_inputs(model: nn.Module, batches: Any, dense_prompt: float = 0.0) -> KeptInputs:
    """Run test data through a model with sparse inputs, and count.

    Args:
        batches: token ids [sequences, length], or what the model is called with, batch by batch.
        dense_prompt: share of each sequence's tokens, from its start, that are dense and not counted.

    Raises:
        ModelError: the model is not sparse, or was changed since.
        CalibrationError: no data.
    """
    sparsity = sparsity_of(model)
    for site in sparsity.sites:
        site.tally = [0, 0]
    try:
        with on_all_tokens(model, dense_prompt):
            watch(model, {}, batches_of(batches))
        inputs = {site.names[0]: site.tally[0] / max(site.tally[1], 1) for site in sparsity.sites}  # type: ignore[index]
    finally:
        for site in sparsity.sites:
            site.tally = None
    return KeptInputs(inputs, sparsity.touched_at(inputs))
