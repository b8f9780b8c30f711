import pytest
import torch
from torch import nn

import fewer
from fewer.weights.iso_flop.decay import product_groups, product_norm
from fewer.weights.iso_flop.factorized import Factorized


def test_the_norm_is_that_of_the_layer_that_the_factors_stand_for():
    factors = Factorized(nn.Linear(6, 4), 5, nn.Identity(), norm=False, sparse_v=True)
    whole = factors(torch.eye(6)) - factors(torch.zeros(1, 6))
    assert product_norm(nn.Sequential(nn.Linear(3, 6), factors)).item() == pytest.approx(whole.square().sum().item(), rel=1e-5)


def test_the_norm_of_convolutions_is_that_of_their_kernel():
    conv = nn.Conv2d(3, 4, 3, padding=1)
    factors = Factorized(conv, 5, nn.Identity(), norm=False, sparse_v=True)
    pulses = torch.zeros(3, 3, 5, 5)
    pulses[range(3), range(3), 2, 2] = 1
    kernel = factors(pulses) - factors(torch.zeros(1, 3, 5, 5))
    assert product_norm(factors).item() == pytest.approx(kernel.square().sum().item(), rel=1e-5)


def test_factors_with_a_nonlinearity_between_are_no_product():
    assert product_norm(Factorized(nn.Linear(6, 4), 5, nn.ReLU(), norm=False, sparse_v=True)) == 0


def test_groups_hold_each_parameter_once_and_decay_no_factor():
    model = fewer.iso_flop(nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 5)), "doped", 0.75, dense=("last",)).model
    decayed, free = product_groups(model, 5e-4)
    assert (decayed["weight_decay"], free["weight_decay"]) == (5e-4, 0.0)
    assert {id(p) for p in free["params"]} == {id(model[0].u.weight), id(model[0].v.weight)}
    assert sorted(map(id, [*decayed["params"], *free["params"]])) == sorted(map(id, model.parameters()))
    torch.optim.SGD([decayed, free], lr=0.1)
