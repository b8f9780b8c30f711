"""How the networks of bytes are trained: AdamW, a rate that rises in a line and falls along a half cosine to zero."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fewer.core.one_thread import one_thread


def factor(step: int, steps: int, warm_up: int) -> float:
    """Share of the highest rate at `step`, from 0."""
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / (steps - warm_up))


def descend(
    model: nn.Module, loss: Callable[[], Tensor], *, steps: int, rate: float, warm_up: int, weight_decay: float = 0.1
) -> None:
    """Train in place, gradients clipped to a norm of 1. `loss` draws a batch and gives its scalar loss."""
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.95), weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, steps, warm_up))
    model.train()
    with one_thread():  # two help on idle cores, take ten times as long on busy ones, and round otherwise
        for _ in range(steps):
            drawn = loss()
            optimizer.zero_grad()
            drawn.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
