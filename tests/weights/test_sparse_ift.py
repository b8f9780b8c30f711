import pytest
import torch
from small_problem import small_problem
from torch import nn

from fewer.core import method
from fewer.errors import MethodError
from fewer.weights.iso_flop.sparse_ift import DenseWide, SparseIFT
from fewer.weights.training.methods import SET, DenseTraining, RandomPruning, RigL
from fewer.weights.training.moment import active, maskable
from fewer.weights.training.problem import Problem, Recipe
from fewer.weights.training.updates import Updates

OFTEN = Updates(every=2)
SIZE = 6 * 12 + 12 * 12 + 12 * 2


@pytest.mark.parametrize("base", [RandomPruning(), SET(updates=OFTEN), RigL(updates=OFTEN)], ids=lambda b: type(b).__name__)
@pytest.mark.parametrize(
    ("kind", "dense"), [("wide", ()), ("parallel", ("last",)), ("factorized", ("last",)), ("doped", ("last",))]
)
def test_after_training_exactly_the_dense_count_of_weights_is_left(kind, dense, base):
    trained = SparseIFT(transformation=kind, base=base, dense=dense).train(small_problem(), 0.25)
    assert active(trained.masks) == SIZE
    assert all(not weight[~trained.masks[name]].any() for name, weight in maskable(trained.model).items())
    moved = trained.record.churn > 0
    assert moved == (not isinstance(base, RandomPruning))


def test_the_random_twin_has_the_layers_and_the_first_masks_of_the_method():
    ours = SparseIFT(base=RigL(updates=OFTEN), dense=(), seed=3)
    twin = ours.random_twin()
    assert (ours.kind, ours.phase, twin.kind, twin.phase, twin.slug) == ("method", "during", "random", "before", "sparse-ift")
    first, second = (arm.transformed(small_problem(), 0.25) for arm in (ours, twin))
    assert all(torch.equal(first.masks[name], second.masks[name]) for name in first.masks)
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))


def test_at_density_1_it_is_dense_training():
    ours = SparseIFT(base=RandomPruning(), dense=()).train(small_problem(), 1.0).model
    dense = DenseTraining().train(small_problem()).model
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours.parameters(), dense.parameters(), strict=True))


def test_the_dense_network_of_the_wide_size_is_as_wide():
    wide = SparseIFT(dense=()).transformed(small_problem(), 0.25).model
    dense = DenseWide().train(small_problem(), 0.25)
    assert [w.shape for w in maskable(dense.model).values()] == [w.shape for w in maskable(wide).values()]
    assert all(mask.all() for mask in dense.masks.values())


def test_rigl_spends_dense_gradients_on_the_enlarged_layers():
    static, rigl = (
        SparseIFT(base=base, dense=()).train(small_problem(), 0.25).record for base in (RandomPruning(), RigL(updates=OFTEN))
    )
    wide = 6 * 24 + 24 * 24 + 24 * 2
    assert static.macs == 3 * SIZE * 40 * 4
    assert rigl.macs - static.macs == len(rigl.churns) * 10 * (wide - SIZE)


def test_convolutions_train_at_equal_multiply_adds():
    def build(width):
        return nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(width * 9, 2),
        )

    problem = Problem(torch.randn(20, 1, 6, 6), torch.arange(20) % 2, build, 6, Recipe(epochs=2, batch=10))
    for kind in ("wide", "parallel", "factorized", "doped"):
        method = SparseIFT(transformation=kind, base=RigL(updates=Updates(every=1)), allocation="uniform")
        assert 0.999 <= method.transformed(problem, 0.5).report.ratio <= 1
        trained = method.train(problem, 0.5)
        assert all(not weight[~trained.masks[name]].any() for name, weight in maskable(trained.model).items())


def test_it_is_known_by_its_slug_and_refuses_a_base_without_a_random_start():
    assert method("sparse-ift") == SparseIFT() and method("dense-wide") == DenseWide()
    with pytest.raises(MethodError, match="starts with a random mask"):
        SparseIFT(base=DenseTraining())
