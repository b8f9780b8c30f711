"""What a key set keeps of dense attention, against cases by hand."""

import math

import pytest
import torch

from fewer.attention.fidelity import fidelity
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Cells, Chosen, Everything, Stripes


def uniform(queries=4, keys=4, causal=True):
    """Two heads that read one, with equal weights; the values are 0, 1, 2, ..."""
    values = torch.arange(float(keys)).view(1, 1, keys, 1)
    return Inputs(torch.zeros(1, 2, queries, 1), torch.ones(1, 1, keys, 1), values, 1.0, causal)


def random(n=100):
    draws = torch.Generator().manual_seed(0)
    return Inputs(*(torch.randn(2, h, n, 8, generator=draws) for h in (4, 2, 2)), 0.5)


@pytest.mark.parametrize("one", [uniform(), uniform(1, 4), uniform(2, 4, causal=False), random()])
def test_everything_keeps_everything(one):
    found = fidelity(one, Everything())
    torch.testing.assert_close(found.recall, torch.ones(one.heads))
    assert (found.error < 1e-6).all() and found.density == 1.0


def test_nothing_keeps_nothing():
    found = fidelity(random(), Cells(torch.zeros(2, 4, 100, 100, dtype=torch.bool)))
    assert not found.recall.any() and found.density == 0.0
    torch.testing.assert_close(found.error, torch.ones(4))


def test_recall_and_error_by_hand():
    one = uniform()
    first, last = torch.tensor([[[0], [3]]]), torch.tensor([[[-1], [-1]]])
    found = fidelity(one, Chosen(torch.cat([last, first], 2).sort(-1, descending=True).values))
    # Head 0 keeps key 0: of 1, 2, 3 and 4 equal weights one. Head 1 keeps key 3, which the last query alone sees.
    torch.testing.assert_close(found.recall, torch.tensor([(1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, 1 / 4 / 4]))
    # Dense outputs are 0, 1/2, 1 and 3/2. Head 0 gives zeros, head 1 zeros and at last 3.
    size = 1 / 4 + 1 + 9 / 4
    torch.testing.assert_close(found.error, torch.tensor([1.0, math.sqrt((1 / 4 + 1 + 9 / 4) / size)]))
    assert found.density == pytest.approx((4 + 1) / 20)


def test_the_same_values_everywhere_hide_no_lost_weight():
    one = Inputs(torch.zeros(1, 1, 4, 1), torch.ones(1, 1, 4, 1), torch.ones(1, 1, 4, 1), 1.0)
    found = fidelity(one, Chosen(torch.tensor([[[0]]])))
    assert float(found.recall) == pytest.approx(25 / 48) and float(found.error) < 1e-6


@pytest.mark.parametrize(
    ("every", "start", "rows"),
    [(1, 0, range(100)), (2, 0, [*range(32), *range(64, 96)]), (2, 30, [*range(30, 62), *range(94, 100)])],
)
def test_some_rows_stand_for_all(every, start, rows):
    one = random()
    keys = Stripes(torch.rand(2, 4, 10, 100, generator=torch.Generator().manual_seed(1)) < 0.2, 10, 2, 3)
    found = fidelity(one, keys, every, start)
    mask, weights = keys.mask(one).double(), one.logits().double().softmax(-1)
    values = one.v.double().repeat_interleave(2, 1)
    kept = weights * mask
    dense, sparse = (weights @ values)[:, :, list(rows)], (kept / kept.sum(-1, keepdim=True) @ values)[:, :, list(rows)]
    torch.testing.assert_close(found.recall.double(), kept.sum(-1)[:, :, list(rows)].mean((0, 2)), atol=1e-6, rtol=0)
    error = (sparse - dense).square().sum((0, 2, 3)) / dense.square().sum((0, 2, 3))
    torch.testing.assert_close(found.error.double(), error.sqrt(), atol=1e-5, rtol=0)
    cells = one.allowed()[start:].sum() * 8  # the density is of all rows from the first on
    assert found.density == pytest.approx(float(mask[:, :, start:].sum() / cells))
