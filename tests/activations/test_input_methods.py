"""What each method scores, how it spends its budget, and the low-rank copy."""

import pytest
import torch

from fewer.activations.low_rank import LowRank
from fewer.activations.method import Weights
from fewer.activations.methods import CATS, TEAL, AllInputs, MagnitudeChannels, RSparse
from fewer.activations.site import touched
from fewer.core import method
from fewer.errors import BudgetError

MATRIX = torch.tensor([[3.0, 0.0, 1.0], [4.0, 2.0, 0.0]])
LAYER = Weights("layer", MATRIX.norm(dim=0))
X = torch.tensor([[1.0, -3.0, 2.0]])


def test_scores_by_hand():
    assert RSparse().score(X, LAYER).tolist() == [[5.0, 6.0, 2.0]]
    assert RSparse(scaled=False).score(X, LAYER).tolist() == [[1.0, 3.0, 2.0]]
    assert TEAL().score(X, LAYER).tolist() == CATS().score(X, LAYER).tolist() == [[1.0, 3.0, 2.0]]
    assert MagnitudeChannels().score(X, LAYER).tolist() == [[5.0, 2.0, 1.0]]


@pytest.mark.parametrize("chosen", [RSparse(), RSparse(scaled=False), TEAL(), MagnitudeChannels()])
def test_thresholds_of_inputs_keep_what_the_threshold_of_the_score_keeps(chosen):
    layer = Weights("l", torch.rand(40))
    x = torch.randn(50, 40)
    threshold = float(chosen.score(x, layer).median())
    kept = ~(x.abs() <= chosen.thresholds(layer, threshold))
    assert torch.equal(kept, chosen.score(x, layer) > threshold)


def test_a_random_twin_scores_noise_that_the_seed_and_the_layer_fix():
    twin = RSparse(rho=1.0).random_twin()
    assert twin.kind == "random" and twin.thresholds(LAYER, 0.5) is None
    first = twin.score(X, LAYER)
    assert torch.equal(first, twin.score(X * 2, LAYER)) and bool(((first >= 0) & (first < 1)).all())
    assert not torch.equal(first, twin.score(X, LAYER._replace(name="other")))
    assert not torch.equal(first, twin.with_seed(1).score(X, LAYER))


@pytest.mark.parametrize("shape", [(576, 576), (192, 576), (1536, 576), (64, 64), (3, 40)])
@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("density", [0.3, 0.5, 1.0])
def test_inputs_and_rank_together_read_what_the_budget_says(shape, rho, density):
    split = RSparse(rho=rho).split(shape, density)
    spent = touched(shape, split.inputs, split.rank)
    if rho:
        assert spent == pytest.approx(density)
    else:  # a direction that does not fit is left over
        assert density - touched(shape, 0, 1) < spent <= density + 1e-9 or split.rank == min(shape) or spent == density
    assert (split.rank > 0) == (rho < 1 and touched(shape, 0, 1) <= density)


def test_the_rank_is_by_the_true_shape_of_the_layer_and_at_least_one():
    k = RSparse(rho=0.95).split((192, 576), 0.5)  # .025 * 192 * 576 / 768 = 3.6
    assert k.rank == 3 and k.inputs == pytest.approx(0.5 - 3 * 768 / (192 * 576))
    small = RSparse(rho=0.95).split((64, 64), 0.4)  # .64 of a direction
    assert small.rank == 1 and small.inputs == pytest.approx(0.4 - 128 / 4096)


def test_all_inputs_ignores_the_budget():
    assert AllInputs().split((4, 4), 0.1) == (1.0, 0) and AllInputs().kind == "dense"


def test_they_are_known_by_their_slugs():
    assert method("r-sparse", rho=0.9) == RSparse(rho=0.9)
    assert method("random:teal") == TEAL().random_twin()
    assert isinstance(method("magnitude-channels"), MagnitudeChannels)


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (7, 7)])
@pytest.mark.parametrize("rank", [1, 4, 7])
def test_the_low_rank_copy_is_the_truncated_decomposition(shape, rank):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, v = torch.linalg.svd(weight.double(), full_matrices=False)
    exact = (u[:, :rank] * s[:rank]) @ v[:rank]
    made = LowRank(weight).factors(rank)
    assert torch.allclose((made.down @ made.up).t().double(), exact, atol=1e-5)


def test_rho_outside_its_range_is_refused():
    with pytest.raises(BudgetError, match=r"rho must lie in \[0, 1\], not 1.2"):
        RSparse(rho=1.2)
