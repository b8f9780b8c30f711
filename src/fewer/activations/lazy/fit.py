"""Training in the open: what the hidden units do is looked at on the way, and the best epoch is kept beside the last."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewer.activations.lazy.networks import logits
from fewer.core import stream
from fewer.core.one_thread import one_thread
from fewer.measure.evaluating import evaluating


@dataclass(eq=False)
class Stopped:
    """Weights of the epoch with the lowest loss on data left out of training, found while it goes on."""

    inputs: Tensor
    labels: Tensor
    loss: float = float("inf")
    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def look(self, model: nn.Module, epoch: int) -> None:
        with evaluating(model), torch.inference_mode():
            loss = float(cross_entropy(logits(model, self.inputs), self.labels))
        if loss < self.loss:
            self.loss, self.epoch, self.weights = loss, epoch, copy.deepcopy(dict(model.state_dict()))


def fit(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    batch: int,
    rate: float,
    seed: int,
    watch: Callable[[int, nn.Module], Any],
) -> None:
    """AdamW at a constant rate. `watch` is called with 0 before the first step, and after every epoch with its number."""
    optimizer, order = torch.optim.AdamW(model.parameters(), rate), stream(seed, "order")
    watch(0, model)
    with one_thread():
        for epoch in range(1, epochs + 1):
            model.train()
            for part in torch.randperm(len(labels), generator=order).split(batch):
                optimizer.zero_grad()
                cross_entropy(logits(model, inputs[part]), labels[part]).backward()
                optimizer.step()
            watch(epoch, model)


def fit_bytes(
    model: nn.Module, tokens: Tensor, *, steps: int, length: int, seed: int, watch: Callable[[int, nn.Module], Any]
) -> None:
    """A language model on windows drawn from all over `tokens`, 16 a step. `watch` is called at 0 and after every step."""
    from fewer.data.trained.byte_tokens import plain_batch

    optimizer, windows = torch.optim.AdamW(model.parameters(), 2e-3), stream(seed, "windows")
    watch(0, model)
    with one_thread():
        for step in range(1, steps + 1):
            model.train()
            part = plain_batch(tokens, 16, length, windows)
            optimizer.zero_grad()
            model(input_ids=part, labels=part, use_cache=False).loss.backward()
            optimizer.step()
            watch(step, model)
