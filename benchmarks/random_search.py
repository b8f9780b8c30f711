"""Random search beside an Optuna study of the same objective."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from fewer.core import stream
from fewer.core.one_thread import one_thread
from fewer.errors import MissingExtraError
from fewer.measure.benchmark import Benchmark, Point, pair
from fewer.weights.networks.perceptron import perceptron
from fewer.weights.search.loss import Loss
from fewer.weights.search.nodes import NodeSampler, NodeSubnetwork
from fewer.weights.search.search import random_search
from fewer.weights.tasks.digits import digits
from fewer.weights.training.moment import full
from fewer.weights.training.start import he_normal

SAMPLES = 40
HIDDEN = ("0", "2")
WIDTH = 256
NUMBERED, BY_NODE = "optuna, one number a sample", "optuna, one category a node"


def run() -> Iterator[Point]:
    """Seconds of 40 evaluations, and the best initial loss among the same 40 samples, which must be the same."""
    try:
        import optuna
    except ImportError:
        raise MissingExtraError(
            'the benchmark random-search needs its peer Optuna, which is not installed: pip install "fewer[peers]".'
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parent, found = perceptron(64, WIDTH, WIDTH, 10), digits()
    he_normal(parent, full(parent), stream(0, "weights"))
    objective = Loss(found.train_x, found.train_y)
    with one_thread():
        for density, peer_name, trial in (
            (0.1, NUMBERED, _numbered(parent, objective, 0.1)),
            (0.5, NUMBERED, _numbered(parent, objective, 0.5)),
            (0.5, BY_NODE, _by_node(parent, objective)),  # which keeps half of the nodes
        ):
            yield _point(optuna, parent, objective, density, peer_name, trial)


def _point(
    optuna: Any, parent: torch.nn.Module, objective: Loss, density: float, peer_name: str, trial: Callable[[Any], float]
) -> Point:
    sampler = NodeSampler(density)

    def ours() -> float:
        return random_search(parent, sampler, objective, SAMPLES).score

    def theirs(fed: bool = False) -> float:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        if fed:
            for sample in range(SAMPLES):
                kept = sampler.draw(parent, 0, sample).kept
                nodes = {f"{name}.{unit}": bool(on) for name, units in kept.items() for unit, on in enumerate(units)}
                study.enqueue_trial({"sample": sample} if peer_name == NUMBERED else nodes)
        study.optimize(trial, n_trials=SAMPLES)
        return study.best_value

    return pair(
        "random-search",
        f"{SAMPLES} samples, {density:.0%} of {WIDTH} nodes twice",
        ours,
        theirs,
        peer_name,
        repeats=7,
        warmup=1,
        quality_ours=ours(),
        quality_peer=theirs(fed=True),
    )


def _numbered(parent: torch.nn.Module, objective: Loss, density: float) -> Callable[[Any], float]:
    """The lightest study there is: Optuna draws a sample's number, and our sampler the nodes."""
    sampler = NodeSampler(density)

    def trial(trial: Any) -> float:
        candidate = sampler.draw(parent, 0, trial.suggest_int("sample", 0, 2**31))
        return next(objective.bounds(parent, candidate)).value

    return trial


def _by_node(parent: torch.nn.Module, objective: Loss) -> Callable[[Any], float]:
    """As a user would write it: Optuna says of each node whether it stays (of its own accord, half of them)."""

    def trial(trial: Any) -> float:
        kept = {
            name: torch.tensor([trial.suggest_categorical(f"{name}.{unit}", [False, True]) for unit in range(WIDTH)])
            for name in HIDDEN
        }
        return next(objective.bounds(parent, NodeSubnetwork(kept))).value

    return trial


BENCHMARKS = [
    Benchmark("random-search", "Evaluations of random sub-networks beside an Optuna study of the same objective", run)
]
