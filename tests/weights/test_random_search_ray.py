"""The same call over a Ray cluster. Skipped where Ray is not installed (the extra `ray`)."""

import os
import signal
import sys
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from fewer.errors import MissingExtraError, SearchError
from fewer.weights.search.evaluation import Bound
from fewer.weights.search.loss import Loss
from fewer.weights.search.nodes import NodeSampler
from fewer.weights.search.search import random_search


@dataclass(frozen=True)
class Counting:
    """Sample b is the number b."""

    def draw(self, parent, seed, sample):
        return sample


@dataclass(frozen=True)
class Perilous:
    """Raises at 2 if `raises`; kills its worker at 3, every time or only the first."""

    raises: bool = False
    mark: str = ""

    def bounds(self, parent, candidate):
        if candidate == 2 and self.raises:
            raise ZeroDivisionError("two")
        if candidate == 3 and not (self.mark and os.path.exists(self.mark)):  # noqa: PTH110
            if self.mark:
                open(self.mark, "w").close()  # noqa: PTH123
            os.kill(os.getpid(), signal.SIGKILL)
        yield Bound(float(-candidate), 1)


@pytest.fixture(scope="module")
def ray():
    """A cluster of two workers that knows this file."""
    ray = pytest.importorskip("ray")
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_a_cluster_finds_what_one_process_finds(ray):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parent = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 3))
        x = torch.randn(60, 6)
    objective = Loss(x, x[:, :3].argmax(1), batch=20)
    one = random_search(parent, NodeSampler(0.3), objective, 20, wave=8, cut=True)
    many = random_search(parent, NodeSampler(0.3), objective, 20, wave=8, cut=True, workers=2, executor="ray")
    assert (one.scores, one.sample, one.multiply_adds) == (many.scores, many.sample, many.multiply_adds)
    assert ray.is_initialized()  # a cluster that was there before stays


def test_a_task_that_dies_on_the_cluster_is_run_again(ray, tmp_path):
    mark = tmp_path / "died"
    found = random_search(None, Counting(), Perilous(mark=str(mark)), 6, workers=2, executor="ray")
    assert mark.exists() and found.scores == [0, -1, -2, -3, -4, -5]


def test_a_sample_that_fails_on_the_cluster_is_named(ray):
    with pytest.raises(SearchError, match="sample 3: its worker died, and so did 1 more"):
        random_search(None, Counting(), Perilous(), 6, workers=2, executor="ray", retries=1)
    with pytest.raises(SearchError, match=r"sample 2 .*ZeroDivisionError: two"):
        random_search(None, Counting(), Perilous(raises=True), 3, workers=2, executor="ray")


def test_without_ray_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"fewer\[ray\]"):
        random_search(None, Counting(), Perilous(), 1, executor="ray")
