import functools
import json

import pytest
import torch

from fewer.compare.comparison import Comparison
from fewer.compare.result import Results
from fewer.core import Count, Density
from fewer.data import text
from fewer.errors import CalibrationError, MethodError
from fewer.measure.flops import count
from fewer.weights.calibration import draw_windows
from fewer.weights.methods import Dense, Magnitude, Random, SparseGPT, Wanda
from fewer.weights.tasks import language, tiny_bytes
from fewer.weights.tasks.language import LanguageModelPerplexity
from fewer.weights.tasks.tiny_bytes import Recipe
from fewer.weights.training.methods import RigL

TASK = LanguageModelPerplexity(model="tiny-bytes", text="python-topics", length=128, sequences=4, windows=4)
ARMS = {"dense": Dense(), "random": Random(), "magnitude": Magnitude(), "wanda": Wanda(), "sparsegpt": SparseGPT()}


@pytest.fixture(scope="module", autouse=True)
def _trained_for_seconds(tmp_path_factory):
    """A tiny model of some hundred steps stands for the full one, in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWER_CACHE", str(tmp_path_factory.mktemp("cache")))
        recipe = Recipe(steps=150, batch=2, warm_up=20)
        patch.setattr(tiny_bytes, "trained", functools.partial(tiny_bytes.trained, recipe=recipe))
        yield
        TASK.close()


@pytest.fixture(scope="module")
def results(_trained_for_seconds) -> Results:
    return Comparison("language", TASK, ARMS, (0.5, 0.3), seeds=(0, 1)).run()


def mean(results: Results, arm: str, density: float) -> float:
    rows = results.of(arm, density)
    return sum(row.quality["nll"] for row in rows) / len(rows)


def test_dense_is_best_and_random_is_worst(results):
    for density in (0.5, 0.3):
        others = [mean(results, arm, density) for arm in ("magnitude", "wanda", "sparsegpt")]
        assert mean(results, "dense", 1.0) < min(others) + 0.02
        assert max(others) < mean(results, "random", density)
    assert mean(results, "sparsegpt", 0.3) < mean(results, "magnitude", 0.3)


def test_training_learnt_more_than_the_frequencies_of_bytes(results):
    counts = tiny_bytes.encode(text.load("python-topics", "test")).bincount(minlength=256)
    assert mean(results, "dense", 1.0) < float(torch.distributions.Categorical(counts).entropy())


def test_what_no_seed_can_change_is_measured_once(results):
    shared = {(row.arm, row.seed) for row in results.rows if row.detail.get("shared")}
    assert shared == {("dense", 1), ("magnitude", 1)}
    assert not TASK.depends_on_seed(Dense())
    assert not TASK.depends_on_seed(Magnitude())
    assert TASK.depends_on_seed(Random())
    assert TASK.depends_on_seed(Wanda().random_twin())
    for arm in ("random", "wanda", "sparsegpt"):
        first, second = results.of(arm, 0.3)
        assert first.quality["nll"] != second.quality["nll"]


def test_a_cell_says_what_was_pruned_and_what_it_cost(results):
    for row in results.rows:
        names = [layer["name"] for layer in row.detail["layers"]]
        assert len(names) == 21  # seven in each of three blocks; the head stays dense
        assert "lm_head" not in names
        assert len(row.detail["window_nlls"]) == TASK.windows
        assert row.cost["flops_active"] <= row.cost["flops_executed"]
        json.dumps(row.detail, allow_nan=False)
    assert results.of("wanda", 0.3)[0].cost["bytes_smallest"] < results.of("dense")[0].cost["bytes_smallest"] / 2


def test_a_cell_measures_the_same_after_any_other():
    first = TASK.measure(Wanda(), Density(0.3), 1)
    TASK.measure(Random(), Density(0.1), 0)
    TASK.measure(SparseGPT(), Density(0.5), 0)
    assert TASK.measure(Wanda(), Density(0.3), 1).detail["window_nlls"] == first.detail["window_nlls"]


def test_flops_that_ran_are_those_of_the_dense_model():
    subject = language._subject(TASK)
    wanda = TASK.measure(Wanda(), Density(0.3), 0)
    assert wanda.cost["flops_executed"] == count(subject.dense, subject.test[:1, : language.TIMED]).dense


def test_windows_are_held_out_and_calibration_is_not():
    subject = language._subject(TASK)
    calibration = text.load("python-topics", "calibration")
    test = text.load("python-topics", "test")
    for window in subject.test:
        words = bytes(window.tolist())
        assert words in test.encode()
        assert words not in calibration.encode()
    first, again, other = (draw_windows(subject.calibration, TASK.sequences, TASK.length, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (4, 128)
    assert all(bytes(sequence.tolist()) in calibration.encode() for sequence in first)


def test_only_pruners_under_a_density_are_measured():
    with pytest.raises(MethodError, match="rigl"):
        TASK.measure(RigL(), Density(0.5), 0)
    with pytest.raises(MethodError, match="to a density"):
        TASK.measure(Wanda(), Count(5), 0)


@pytest.mark.parametrize("asked", [{"windows": 100_000}, {"windows": 500, "length": 256}])
def test_a_text_that_is_too_short_is_refused_with_what_it_has(asked):
    tokens = len(text.load("python-topics", "test").encode())
    task = LanguageModelPerplexity(model="tiny-bytes", text="python-topics", **{"length": 128, **asked})
    with pytest.raises(CalibrationError, match=f"has {tokens} tokens.*shorter or fewer windows"):
        task.measure(Wanda(), Density(0.5), 0)


def test_windows_longer_than_the_context_are_refused():
    task = LanguageModelPerplexity(model="tiny-bytes", text="python-topics", length=512)
    with pytest.raises(CalibrationError, match=r"reads 256 tokens.*512"):
        task.measure(Wanda(), Density(0.5), 0)


def test_a_text_file_is_refused_because_none_of_it_is_held_out(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("some words " * 1000)
    task = LanguageModelPerplexity(model="tiny-bytes", text=str(path), length=128)
    with pytest.raises(CalibrationError, match="no part held out"):
        task.measure(Wanda(), Density(0.5), 0)
