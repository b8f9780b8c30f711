import dataclasses

import pytest
import torch
from small_problem import small_problem

from fewer.compare.comparison import Comparison
from fewer.core import Density
from fewer.errors import MethodError
from fewer.weights.tasks.digits import DigitsTraining
from fewer.weights.training.at_width import AtWidth
from fewer.weights.training.methods import DenseTraining, MagnitudeFinetuned, RandomPruning, RigL
from fewer.weights.training.moment import active


@pytest.mark.parametrize("trainer", [DenseTraining(), RandomPruning(), MagnitudeFinetuned()])
def test_a_width_gives_what_the_trainer_gives_on_a_problem_of_that_width(trainer):
    problem = small_problem()
    ours = AtWidth(trainer, 5, seed=3).train(problem, 0.4)
    theirs = trainer.with_seed(3).train(dataclasses.replace(problem, width=5), 0.4)
    assert (ours.record.size, ours.record.macs) == (theirs.record.size, theirs.record.macs)
    assert all(torch.equal(a, b) for a, b in zip(ours.model.parameters(), theirs.model.parameters(), strict=True))


@pytest.mark.parametrize("trainer", [DenseTraining(extra=1.0), RandomPruning(2.0), RigL(), MagnitudeFinetuned()])
def test_in_all_but_the_width_it_is_the_trainer(trainer):
    wide = AtWidth(trainer, 5)
    for fact in ("slug", "kind", "phase", "form", "pattern", "needs_data", "needs_pretrained", "length", "epochs", "seeded"):
        assert getattr(wide, fact) == getattr(trainer, fact)
    assert wide.random_twin() == AtWidth(trainer.random_twin(), 5)
    assert wide.uniform_twin() == AtWidth(trainer.uniform_twin(), 5)
    assert wide.stretched(4.0) == AtWidth(trainer.stretched(4.0), 5)
    assert wide.configuration() == {
        "method": "AtWidth",
        "length": trainer.length,
        "trainer": trainer.configuration(),
        "width": 5,
    }


def test_a_comparison_has_widths_in_the_names_of_its_arms():
    arms = {f"{name}@{w}": AtWidth(t, w) for w in (4, 8) for name, t in (("dense", DenseTraining()), ("erk", RandomPruning()))}
    rows = Comparison("widths", DigitsTraining(epochs=1, rounds=1), arms, (0.25,), (0,)).run().rows
    weights = {row.arm: row.cost["weights"] for row in rows}
    assert weights == {"dense@4": 312, "dense@8": 656, "erk@4": 78, "erk@8": 164}


def test_a_digits_cell_at_a_width_is_that_of_the_task_at_that_width():
    narrow = DigitsTraining(epochs=1, width=8, rounds=1).measure(RandomPruning(), Density(0.3), 2)
    at_width = DigitsTraining(epochs=1, width=16, rounds=1).measure(AtWidth(RandomPruning(), 8), Density(0.3), 2)
    assert narrow.quality == at_width.quality
    latencies = {"latency_ms", "latency_ms_dense"}
    facts = [{n: v for n, v in m.detail["facts"].items() if n not in latencies} for m in (narrow, at_width)]
    assert facts[0] == facts[1]


def test_a_width_below_one_or_given_twice_is_refused():
    with pytest.raises(MethodError, match="at least 1, not 0"):
        AtWidth(RandomPruning(), 0)
    with pytest.raises(MethodError, match="a width already, 4"):
        AtWidth(AtWidth(RandomPruning(), 4), 8)
    assert active(AtWidth(DenseTraining(), 1).train(small_problem(), 1.0).masks) == 9
