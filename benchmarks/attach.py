"""Training steps under masks beside the same steps without, and beside what a user would mask with instead."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune
from torch.optim import SGD, AdamW, Optimizer

from fewer.errors import MissingExtraError
from fewer.measure.benchmark import Benchmark, Point, pair
from fewer.weights.training.attach import attach
from fewer.weights.training.methods import RandomPruning, RigL
from fewer.weights.training.updates import Updates

WIDTH, DEPTH, BATCH, DENSITY = 1024, 4, 128, 0.1
EVERY = 20
"""Steps of one measurement; RigL updates its masks once in them (the paper: once in 100)."""
ENDLESS = 10**6
ROUNDS = 5

Steps = Callable[[], None]


def run() -> Iterator[Point]:
    """EVERY whole training steps (forward, backward, optimiser) of 4 million weights, 10% of them kept."""
    size = f"{EVERY} steps, {DEPTH} x {WIDTH}^2, batch {BATCH}"
    for name, make in (("SGD", sgd), ("AdamW", adamw), ("fused AdamW", fused)):
        yield pair("attach", f"static, {name}, {size}", static(make), bare(make), "no masks", repeats=ROUNDS, warmup=1)
        yield pair("attach", f"rigl, {name}, {size}", rigl(make), bare(make), "no masks", repeats=ROUNDS, warmup=1)
    yield pair("attach", f"static, SGD, {size}", static(sgd), pruned(sgd), "torch.nn.utils.prune", repeats=ROUNDS, warmup=1)
    yield pair("attach", f"rigl, SGD, {size}", rigl(sgd), rigl_torch(sgd), "rigl-torch", repeats=ROUNDS, warmup=1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    hidden = [module for _ in range(DEPTH) for module in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    return nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), *hidden, nn.Linear(WIDTH, 10))


def sgd(model: nn.Module) -> Optimizer:
    return SGD(model.parameters(), 1e-3, 0.9, weight_decay=1e-4)


def adamw(model: nn.Module) -> Optimizer:
    return AdamW(model.parameters(), 1e-4)


def fused(model: nn.Module) -> Optimizer:
    return AdamW(model.parameters(), 1e-4, fused=True)


def steps(model: nn.Module, optimizer: Optimizer, after: Callable[[], object] = lambda: None) -> Steps:
    x = torch.randn(BATCH, 64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(BATCH) % 10

    def train() -> None:
        for _ in range(EVERY):
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
            after()

    return train


def bare(make: Callable[[nn.Module], Optimizer]) -> Steps:
    model = network()
    return steps(model, make(model))


def static(make: Callable[[nn.Module], Optimizer]) -> Steps:
    model = network()
    optimizer = make(model)
    attach(model, optimizer, RandomPruning(), density=DENSITY, allocation="uniform")
    return steps(model, optimizer)


def rigl(make: Callable[[nn.Module], Optimizer]) -> Steps:
    model = network()
    optimizer = make(model)
    method = RigL(updates=Updates(every=EVERY))
    attach(model, optimizer, method, density=DENSITY, steps=ENDLESS, allocation="uniform")
    return steps(model, optimizer)


def pruned(make: Callable[[nn.Module], Optimizer]) -> Steps:
    """What torch has for masks that stay: each weight is multiplied by its mask in every forward pass."""
    model = network()
    for module in model:
        if isinstance(module, nn.Linear):
            prune.random_unstructured(module, "weight", 1 - DENSITY)
    return steps(model, make(model))


def rigl_torch(make: Callable[[nn.Module], Optimizer]) -> Steps:
    """It masks gradients, weights and momentum, and keeps the (small) first layer dense."""
    scheduler = rigl_torch_scheduler()
    model = network()
    optimizer = make(model)
    settings = {"dense_allocation": DENSITY, "T_end": ENDLESS, "delta": EVERY, "ignore_linear_layers": False}
    return steps(model, optimizer, scheduler(model, optimizer, **settings))


def rigl_torch_scheduler() -> Any:
    """rigl-torch asks torchvision for its ResNet blocks, to know them by their type, and for nothing else.

    Where torchvision is not there, two types that no module has stand in while it is imported.
    """
    if find_spec("rigl_torch") is None:
        raise MissingExtraError('this benchmark compares with rigl-torch, which is not installed: pip install "fewer[peers]".')
    blocks = SimpleNamespace(Bottleneck=type("Bottleneck", (), {}), BasicBlock=type("BasicBlock", (), {}))
    stand_in = SimpleNamespace(models=SimpleNamespace(resnet=blocks))
    missing = {} if find_spec("torchvision") else {"torchvision": stand_in}
    with patch.dict("sys.modules", missing):
        from rigl_torch.RigL import RigLScheduler

    return RigLScheduler


BENCHMARKS = [Benchmark("attach", "training steps under masks against bare steps, torch.nn.utils.prune and rigl-torch", run)]
