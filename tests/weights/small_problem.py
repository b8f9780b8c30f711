"""A problem that trains in milliseconds: the sign of one of six inputs."""

import torch
from torch import nn

from fewer.weights.training.problem import Problem, Recipe


def build(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))


def small_problem(epochs: int = 4) -> Problem:
    inputs = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    return Problem(inputs, (inputs[:, 0] > 0).long(), build, 12, Recipe(epochs=epochs, batch=10))
