import pytest
import torch

from fewer.data.corrupt import flipped, noisy
from fewer.errors import DataError


def test_flips_are_uniform_over_all_classes_so_that_some_labels_stay():
    labels = torch.arange(10).repeat(1000)
    changed = flipped(labels, 0.4, 10, seed=0)
    assert (changed != labels).double().mean() == pytest.approx(0.4 * 0.9, abs=0.01)
    assert torch.equal(labels, torch.arange(10).repeat(1000))
    assert torch.equal(changed, flipped(labels, 0.4, 10, seed=0))
    assert not torch.equal(changed, flipped(labels, 0.4, 10, seed=1))
    assert torch.equal(flipped(labels, 0.0, 10, seed=0), labels)


def test_input_noise_has_the_deviation_asked_for():
    x = torch.full((100, 1, 8, 8), 0.5)
    assert float((noisy(x, 0.2, seed=0) - x).std()) == pytest.approx(0.2, rel=0.03)
    assert torch.equal(noisy(x, 0.2, seed=0), noisy(x, 0.2, seed=0))


def test_what_is_no_share_is_refused():
    with pytest.raises(DataError, match="from 0 to 1"):
        flipped(torch.zeros(3, dtype=torch.long), 1.5, 10, seed=0)
