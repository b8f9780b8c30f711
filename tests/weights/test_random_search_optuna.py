"""Optuna's random sampler, fed the same samples. Skipped where it is not installed (the extra `peers`)."""

import pytest
import torch

from fewer.weights.networks.perceptron import perceptron
from fewer.weights.search.loss import Loss
from fewer.weights.search.nodes import NodeSampler, NodeSubnetwork
from fewer.weights.search.search import random_search


def test_optuna_finds_the_same_winner_among_the_same_samples():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parent, x = perceptron(8, 12, 12, 4), torch.randn(60, 8)
    objective, sampler = Loss(x, x[:, :4].argmax(1)), NodeSampler(0.4)

    def trial(trial):
        kept = {
            name: torch.tensor([trial.suggest_categorical(f"{name}.{unit}", [False, True]) for unit in range(12)])
            for name in ("0", "2")
        }
        return next(objective.bounds(parent, NodeSubnetwork(kept))).value

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for sample in range(20):
        kept = sampler.draw(parent, 0, sample).kept
        study.enqueue_trial({f"{name}.{unit}": bool(on) for name, units in kept.items() for unit, on in enumerate(units)})
    study.optimize(trial, n_trials=20)
    found = random_search(parent, sampler, objective, 20)
    assert study.best_trial.number == found.sample
    assert study.best_value == pytest.approx(found.score, rel=1e-6)
