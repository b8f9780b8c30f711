import json
import math
import os
import signal
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import fewer
from fewer.errors import BudgetError, MethodError, ScoreError, SearchError, StoreError
from fewer.weights.search.budget import Flops, Samples
from fewer.weights.search.evaluation import Bound
from fewer.weights.search.fingerprint import fingerprint
from fewer.weights.search.loss import Loss
from fewer.weights.search.nodes import NodeSampler
from fewer.weights.search.search import random_search


def parent(width=24):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))


def data(size=60):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(size, 6, generator=generator)
    return x, x[:, :3].argmax(1)


def loss(batch=None):
    return Loss(*data(), batch=batch)


@dataclass(frozen=True)
class Number:
    """Draws whole numbers: any search can be held against this one, not only one of networks."""

    numbers: tuple[int, ...]

    def draw(self, parent, seed, sample):
        return self.numbers[(seed + sample) % len(self.numbers)]


@dataclass(frozen=True)
class Itself:
    """A number is its own score, known in four steps."""

    def bounds(self, parent, candidate):
        for quarter in (1, 2, 3, 4):
            yield Bound(candidate * quarter / 4, quarter, exact=quarter == 4)


@dataclass(frozen=True)
class Fails:
    """What `how` does, when the number is 7."""

    how: str
    once: str = ""

    def bounds(self, parent, candidate):
        if candidate == 7 and not (self.once and os.path.exists(self.once)):  # noqa: PTH110
            if self.once:
                open(self.once, "w").close()  # noqa: PTH123
            if self.how == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "raises":
                raise ZeroDivisionError("seven")
            yield Bound(math.nan, 1)
        yield Bound(float(candidate), 1)


def test_the_winner_is_the_first_of_the_lowest_and_the_control_the_first_of_all():
    found = random_search(None, Number((5, 3, 9, 3, 9)), Itself(), 5)
    assert (found.winner, found.sample, found.score) == (3, 1, 3.0)
    assert (found.control, found.loser) == (5, 9)
    assert found.scores == [5.0, 3.0, 9.0, 3.0, 9.0]
    assert (found.evaluations, found.multiply_adds, found.cut) == (5, 20, 0)


def test_it_is_there_by_its_short_name():
    assert fewer.random_search is random_search


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40), st.integers(1, 12), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_cutting_never_changes_the_winner_and_never_costs_more(numbers, wave, seed):
    search = lambda cut: random_search(None, Number(tuple(numbers)), Itself(), len(numbers), seed=seed, wave=wave, cut=cut)  # noqa: E731
    whole, cut = search(False), search(True)
    assert (cut.winner, cut.sample, cut.score) == (whole.winner, whole.sample, whole.score)
    assert cut.multiply_adds <= whole.multiply_adds
    assert all(bound <= score for bound, score in zip(cut.scores, whole.scores, strict=True))
    assert (cut.loser is None) == (cut.cut > 0)


def test_cutting_saves_what_a_bad_candidate_need_not_show():
    numbers = (1, *[100] * 9)
    found = random_search(None, Number(numbers), Itself(), 10, wave=1, cut=True)
    assert (found.cut, found.multiply_adds) == (9, 4 + 9)


def test_losses_are_bounded_from_below_batch_by_batch():
    candidate = NodeSampler(0.5).draw(parent(), 0, 0)
    bounds = list(loss(batch=7).bounds(parent(), candidate))
    assert [b.exact for b in bounds] == [False] * 8 + [True]
    assert all(a.value <= b.value and a.multiply_adds < b.multiply_adds for a, b in pairwise(bounds))
    assert bounds[-1].value == pytest.approx(next(loss().bounds(parent(), candidate)).value, rel=1e-6)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_workers_change_nothing_but_the_time(executor):
    how = {"wave": 8, "patience": 30, "cut": True, "seed": 3}
    one = random_search(parent(), NodeSampler(0.3), loss(batch=20), 40, **how)
    two = random_search(parent(), NodeSampler(0.3), loss(batch=20), 40, workers=2, executor=executor, **how)
    for name in ("score", "sample", "scores", "evaluations", "cut", "multiply_adds"):
        assert getattr(one, name) == getattr(two, name)
    assert all(torch.equal(one.winner.kept[name], two.winner.kept[name]) for name in one.winner.kept)


def test_the_seed_decides_and_the_parent_stays_as_it_was():
    network, before = parent(), fingerprint(parent())
    network.train()
    one, again, other = (random_search(network, NodeSampler(0.3), loss(), 5, seed=seed) for seed in (1, 1, 2))
    assert one.scores == again.scores != other.scores
    assert fingerprint(network) == before and network.training


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    random_search(parent(), NodeSampler(0.3), loss(), 3)
    assert torch.equal(torch.rand(3), expected)


def test_patience_stops_after_so_many_samples_without_a_better_one():
    numbers = Number((9, 8, 8, 8, 8, 1))
    assert random_search(None, numbers, Itself(), 6, patience=3).scores == [9.0, 8.0, 8.0, 8.0, 8.0]
    assert random_search(None, numbers, Itself(), 6, patience=4).winner == 1


def test_a_budget_of_flops_is_never_exceeded():
    found = random_search(None, Number((4, 3, 2, 1)), Itself(), Flops(2 * 11))
    assert (found.evaluations, found.multiply_adds, found.winner) == (2, 8, 3)
    with pytest.raises(BudgetError, match="less than one evaluation"):
        random_search(None, Number((4,)), Itself(), Flops(7))


def test_multiply_adds_are_those_of_the_sub_networks():
    found = random_search(parent(), NodeSampler(0.25), loss(), 4)
    assert found.multiply_adds == 4 * 60 * (6 * 6 + 6 * 6 + 6 * 3)


def test_progress_is_told_after_every_wave():
    told = []
    random_search(None, Number((5, 3, 9, 1)), Itself(), 4, wave=2, progress=lambda *said: told.append(said))
    assert told == [(2, 4, 3.0), (4, 4, 1.0)]


def test_a_search_goes_on_where_it_was_cut_off(tmp_path):
    def stop(done, total, best):
        if done == 8:
            raise KeyboardInterrupt

    search = lambda budget, **how: random_search(  # noqa: E731
        parent(), NodeSampler(0.3), loss(), budget, wave=4, folder=tmp_path, **how
    )
    with pytest.raises(KeyboardInterrupt):
        search(20, progress=stop)
    lines = (tmp_path / "cells.jsonl").read_text().splitlines()
    assert [json.loads(line)["detail"]["sample"] for line in lines] == list(range(8))
    found = search(20)
    assert found.scores == random_search(parent(), NodeSampler(0.3), loss(), 20).scores
    assert len((tmp_path / "cells.jsonl").read_text().splitlines()) == 20
    assert search(24).scores[:20] == found.scores


def test_scores_of_another_network_are_not_taken_for_this_ones(tmp_path):
    first = random_search(parent(), NodeSampler(0.3), loss(), 3, folder=tmp_path)
    other = parent()
    with torch.no_grad():
        other[4].bias[0] += 1
    found = random_search(other, NodeSampler(0.3), loss(), 3, folder=tmp_path)
    assert found.scores == random_search(other, NodeSampler(0.3), loss(), 3).scores != first.scores


def test_what_cannot_be_recognised_again_cannot_be_kept(tmp_path):
    class Sampler(Number):
        extra = None

    with pytest.raises(StoreError, match="cannot be recognised"):
        random_search(lambda x: x, Sampler((1,)), Itself(), 1, folder=tmp_path)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_an_error_says_which_sample_it_came_from(executor):
    numbers = Number((1, 2, 3, 7, 4, 5))
    with pytest.raises(SearchError, match=r"sample 3 .*ZeroDivisionError: seven") as raised:
        random_search(None, numbers, Fails("raises"), 6, workers=2, executor=executor)
    assert "Traceback" in raised.value.__notes__[0]
    with pytest.raises(ScoreError, match="sample 3: its score is nan"):
        random_search(None, numbers, Fails("nan"), 6)


def test_a_worker_that_dies_is_replaced_and_its_samples_evaluated_again(tmp_path):
    numbers, mark = Number((4, 2, 3, 7, 1, 5)), tmp_path / "died"
    found = random_search(None, numbers, Fails("dies", str(mark)), 6, workers=2)
    assert mark.exists() and found.scores == [4.0, 2.0, 3.0, 7.0, 1.0, 5.0]


def test_a_sample_that_kills_every_worker_is_named():
    with pytest.raises(SearchError, match="sample 3: its worker died, and so did 1 more"):
        random_search(None, Number((4, 2, 3, 7, 1, 5)), Fails("dies"), 6, workers=2, retries=1)


@pytest.mark.parametrize("budget", [0, -1, 1.5, True, "many"])
def test_no_samples_are_no_budget(budget):
    with pytest.raises(BudgetError, match="at least 1 sample"):
        random_search(None, Number((1,)), Itself(), budget)


@pytest.mark.parametrize(
    "wrong", [{"patience": 0}, {"wave": 0}, {"retries": 0}, {"workers": 0}, {"workers": 2, "executor": "cluster"}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(MethodError):
        random_search(None, Number((1,)), Itself(), 1, **wrong)


def test_no_flops_are_no_budget():
    with pytest.raises(BudgetError, match="more than 0 FLOPs"):
        Flops(0)
    assert Samples(3).most == 3 and Flops(1e9).most is None


def test_a_loss_over_nothing_is_refused():
    x, y = data()
    for wrong in (lambda: Loss(x[:0], y[:0]), lambda: Loss(x, y[:3]), lambda: Loss(x, y, batch=0)):
        with pytest.raises(ScoreError, match="a loss needs samples"):
            wrong()
