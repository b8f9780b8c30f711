from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from fewer.compare import comparison as comparison_module
from fewer.compare.comparison import Comparison
from fewer.compare.task import Measurement, Task
from fewer.errors import BudgetError, MethodError, StoreError
from fewer.weights.methods import Dense, Magnitude, SparseGPT, Wanda


@dataclass(frozen=True)
class Counting(Task):
    """Says what it was asked, in order; only random arms depend on the seed."""

    words: int = 10
    asked: list = field(default_factory=list, compare=False)
    fail_at: int = -1

    @property
    def quality(self) -> Mapping[str, Any]:
        return {"loss": "lower"}

    @property
    def data(self) -> str:
        return "made up"

    def configuration(self) -> dict[str, Any]:
        return {"task": "Counting", "words": self.words}

    def depends_on_seed(self, method) -> bool:
        return method.kind == "random"

    def measure(self, method, budget, seed):
        if len(self.asked) == self.fail_at:
            raise RuntimeError("cut off")
        self.asked.append((type(method).__name__, budget.share, seed, method.seed))
        return Measurement({"loss": len(self.asked) / budget.share}, {"bytes": budget.share}, {"layers": []})

    def close(self) -> None:
        self.asked.append("closed")


ARMS = {"dense": Dense(), "random": Wanda().random_twin(), "wanda": Wanda()}


def compared(task=None, **changes):
    settings = {"name": "c", "arms": ARMS, "budgets": [0.3, 0.5], "seeds": (0, 1, 2), "twins": {"random": "wanda"}}
    return Comparison(**{**settings, "task": task or Counting(), **changes})


def test_every_cell_is_measured_once_dense_first_and_shared_where_the_seed_says_nothing():
    task = Counting()
    results = compared(task).run()
    assert task.asked == [
        ("Dense", 1.0, 0, 0),
        ("RandomWanda", 0.5, 0, 0),
        ("Wanda", 0.5, 0, 0),
        ("RandomWanda", 0.5, 1, 1),
        ("RandomWanda", 0.5, 2, 2),
        ("RandomWanda", 0.3, 0, 0),
        ("Wanda", 0.3, 0, 0),
        ("RandomWanda", 0.3, 1, 1),
        ("RandomWanda", 0.3, 2, 2),
        "closed",
    ]
    assert len(results.rows) == 3 * (1 + 2 + 2)
    assert [r.seed for r in results.of("dense")] == [0, 1, 2]
    assert len({r.quality["loss"] for r in results.of("wanda", 0.3)}) == 1
    assert [r.detail.get("shared", False) for r in results.of("wanda", 0.3)] == [False, True, True]
    assert not any(r.detail.get("shared") for r in results.of("random"))


def test_results_carry_what_a_reader_asks_for():
    results = compared(title="says").run()
    assert (results.name, results.title, results.data, results.primary) == ("c", "says", "made up", "loss")
    assert results.arms["random"].kind == "random" and results.arms["random"].twin_of == "wanda"
    assert results.arms["wanda"].needs_data and results.arms["wanda"].pattern == "row"
    assert results.dense() == "dense" and results.environment["versions"]["torch"] and results.costs() == ["bytes"]
    assert type(results).from_json(results.to_json()).rows == results.rows


def test_progress_is_told_before_every_cell():
    told = []
    task = Counting()
    compared(task).run(progress=lambda done, total, cell: told.append((done, total, cell.arm, len(task.asked))))
    assert told[0] == (0, 9, "dense", 0) and told[-1] == (8, 9, "random", 8) and len(told) == 9


def test_a_run_that_was_cut_off_measures_only_what_is_missing(tmp_path):
    broken = Counting(fail_at=4)
    with pytest.raises(RuntimeError, match="cut off"):
        compared(broken).run(tmp_path)
    assert broken.asked[-1] == "closed"
    task = Counting()
    results = compared(task).run(tmp_path)
    assert task.asked[:-1] == [
        ("RandomWanda", 0.5, 2, 2),
        ("RandomWanda", 0.3, 0, 0),
        ("Wanda", 0.3, 0, 0),
        ("RandomWanda", 0.3, 1, 1),
        ("RandomWanda", 0.3, 2, 2),
    ]
    assert len(results.rows) == 15
    finished = Counting()
    assert compared(finished).run(tmp_path).rows == results.rows
    assert finished.asked == ["closed"]


@pytest.mark.parametrize(
    ("changes", "measured"),
    [
        ({"task": Counting(words=11)}, 9),
        ({"budgets": [0.3, 0.5, 0.7]}, 4),
        ({"seeds": range(4)}, 2),
        ({"seeds": (5,)}, 2),
        ({"arms": {**ARMS, "magnitude": Magnitude()}}, 2),
        ({"arms": {"dense": Dense(), "sparsegpt": SparseGPT()}}, 2),
        ({"arms": {"dense": Dense(), "sparsegpt": SparseGPT(damping=0.5)}}, 2),
        ({"arms": {"another name": Dense(), "w": Wanda()}}, 0),
        ({"arms": {"w": Wanda(seed=99)}}, 0),
    ],
)
def test_what_another_configuration_shares_is_taken_and_the_rest_measured(tmp_path, changes, measured):
    compared().run(tmp_path)
    task = Counting(words=changes["task"].words if "task" in changes else 10)
    compared(**{**changes, "task": task}).run(tmp_path)
    assert len(task.asked) - 1 == measured


def test_a_new_version_of_the_code_measures_again(tmp_path, monkeypatch):
    compared().run(tmp_path)
    monkeypatch.setattr(comparison_module, "VERSION", comparison_module.VERSION + 1)
    task = Counting()
    compared(task).run(tmp_path)
    assert len(task.asked) == 10


def test_a_comparison_that_is_running_is_not_run_a_second_time(tmp_path):
    def again(*_):
        compared().run(tmp_path)

    with pytest.raises(StoreError, match="another run is writing"):
        compared().run(tmp_path, again)


def test_an_arm_at_full_budget_stands_beside_dense():
    task = Counting()
    compared(task, budgets=[1.0, 0.5], seeds=(0,)).run()
    assert [a[:2] for a in task.asked[:-1]] == [
        ("Dense", 1.0),
        ("RandomWanda", 1.0),
        ("Wanda", 1.0),
        ("RandomWanda", 0.5),
        ("Wanda", 0.5),
    ]


@pytest.mark.parametrize("missing", [{"arms": {}}, {"seeds": ()}, {"budgets": []}])
def test_a_comparison_of_nothing_is_refused(missing):
    with pytest.raises(MethodError, match="at least one arm, one budget and one seed"):
        compared(**missing)


def test_a_budget_out_of_range_is_refused_before_anything_runs():
    with pytest.raises(BudgetError):
        compared(budgets=[0.5, 1.5])
