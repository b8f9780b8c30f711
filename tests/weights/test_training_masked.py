import pytest
import torch
from small_problem import build, small_problem
from torch import nn
from torch.nn.functional import cross_entropy

from fewer.core import ERK, stream
from fewer.errors import ModelError
from fewer.weights.training.evolve import SET
from fewer.weights.training.masked import MaskedTraining
from fewer.weights.training.record import Record, step_macs
from fewer.weights.training.rigl import RigL
from fewer.weights.training.start import he_normal, random_masks
from fewer.weights.training.updates import Updates

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: torch.optim.AdamW(p, 0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", [SET, RigL])
def test_masks_hold_exactly_after_every_step_also_in_the_optimiser(method, optimizer):
    problem, model = small_problem(), build(12)
    masks = random_masks(model, 0.3, ERK(), 0)
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    steps = OPTIMIZERS[optimizer](model.parameters())
    rule = method(updates=Updates(0.5, every=2, until=1.0)).rule()
    with MaskedTraining(model, steps, masks, rule, 20) as training:
        for _ in range(20):
            steps.zero_grad()
            cross_entropy(model(problem.inputs), problem.labels).backward()
            steps.step()
            for name, mask in training.masks.items():
                weight = model.get_submodule(name).weight
                assert int(mask.sum()) == counts[name]
                assert not weight[~mask].any()
                assert all(not s[~mask].any() for s in steps.state[weight].values() if s.shape == weight.shape)
    assert len(training.record.churns) == 9  # steps 2, 4 ... 18: at 20 the share has fallen to 0


def test_rigl_grows_where_the_dense_gradient_is_largest():
    model = nn.Linear(8, 1, bias=False)
    mask = torch.tensor([[True] * 4 + [False] * 4])
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.01, -2.0, 3.0, 0, 0, 0, 0]]))
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    rule = RigL(updates=Updates(0.5, every=1, until=1.0)).rule()
    wrapper = nn.Sequential(model)
    with MaskedTraining(wrapper, optimizer, {"0": mask}, rule, 100) as training:
        wrapper(torch.tensor([[0.0, 0, 0, 0, 1, -7, 3, 2]])).sum().backward()
        optimizer.step()
    assert training.masks["0"].tolist() == [[True, False, True, True, False, True, False, False]]
    assert model.weight[0, 5] == 0


def test_fresh_weights_start_without_the_momentum_of_the_position():
    model = nn.Sequential(nn.Linear(3, 1, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0, 0.0]]))
    # The weak one makes room for the free position, whose gradient is the largest.
    rule = RigL(updates=Updates(0.9, every=1, until=1.0)).rule()
    with MaskedTraining(model, optimizer, {"0": torch.tensor([[True, True, False]])}, rule, 1000) as training:
        model(torch.tensor([[2.0, 1.0, 3.0]])).sum().backward()
        optimizer.step()
    assert training.masks["0"].tolist() == [[False, True, True]]
    assert (model[0].weight == 0).tolist() == [[True, False, True]]
    assert (optimizer.state[model[0].weight]["momentum_buffer"] == 0).tolist() == [[True, False, True]]


def test_a_position_that_is_dropped_and_grows_again_keeps_weight_and_momentum():
    model = nn.Sequential(nn.Linear(3, 1, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0, 0.0]]))
    rule = RigL(updates=Updates(0.9, every=1, until=1.0)).rule()
    with MaskedTraining(model, optimizer, {"0": torch.tensor([[True, True, False]])}, rule, 1000) as training:
        model(torch.tensor([[2.0, 1.0, 1.0]])).sum().backward()
        optimizer.step()
    assert training.masks["0"].tolist() == [[True, True, False]]
    assert (model[0].weight == 0).tolist() == [[False, False, True]]
    assert (optimizer.state[model[0].weight]["momentum_buffer"] == 0).tolist() == [[False, False, True]]


def test_after_closing_the_optimiser_is_free_again():
    model = nn.Sequential(nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with MaskedTraining(model, optimizer, {"0": torch.tensor([[True, False]])}):
        pass
    assert model[0].weight[0, 1] == 0
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert model[0].weight[0, 1] != 0


def test_a_mask_for_no_layer_or_of_another_shape_is_an_error():
    model = nn.Sequential(nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ModelError, match=r"given for 1; the model has only 0"):
        MaskedTraining(model, optimizer, {"1": torch.ones(1, 2).bool()})
    with pytest.raises(ModelError, match=r"shape \(2, 1\)"):
        MaskedTraining(model, optimizer, {"0": torch.ones(2, 1).bool()})


def test_multiply_adds_of_a_step_by_hand():
    masks = {"linear": torch.tensor([[True, True, True, False]]), "conv": torch.tensor([[True, False]])}
    assert step_macs(masks, {"conv": 5}) == 3 * 3 + 5 * 3
    assert step_macs(masks, {"conv": 5}, dense_gradient=True) == (2 * 3 + 4) + 5 * (2 + 2)


def test_the_record_by_hand():
    record = Record(size=4)
    before, after = {"a": torch.tensor([1, 1, 0, 0]).bool()}, {"a": torch.tensor([1, 0, 1, 0]).bool()}
    record.hold(before, others=3)
    record.renew(before, after)
    record.hold(after, others=3)
    assert record.churn == 2 / (2 * 2)
    assert record.r_itop == 3 / 4
    assert record.peak_density == 2 / 4
    assert record.peak_bytes == 2 * 4 * (2 + 3) + 1


def test_the_cut_from_dense_is_no_churn():
    record, dense = Record(size=2), {"a": torch.tensor([True, True])}
    record.renew(dense, {"a": torch.tensor([True, False])})
    assert record.churn == 0


def test_convolutions_train_under_masks_too():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 2))
    masks = random_masks(model, 0.3, ERK(), 0)
    he_normal(model, masks, stream(0))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9)
    rule = RigL(updates=Updates(0.5, every=1, until=1.0)).rule()
    with MaskedTraining(model, optimizer, masks, rule, 5, uses={"0": 16}) as training:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(2, 1, 6, 6)).square().sum().backward()
            training.saw(2)
            optimizer.step()
    assert {n: int(m.sum()) for n, m in training.masks.items()} == {n: int(m.sum()) for n, m in masks.items()}
    assert not model[0].weight[~training.masks["0"]].any()
    kept, linear = int(masks["0"].sum()), int(masks["3"].sum())
    assert training.record.macs == 3 * 2 * (16 * (2 * kept + 36) + (2 * linear + 128))
