import dataclasses

import pytest
import torch
from small_problem import small_problem
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from fewer.core import stream
from fewer.errors import CalibrationError
from fewer.weights.networks import CifarResNet
from fewer.weights.training.moment import full, maskable
from fewer.weights.training.saliency import (
    ConnectionSensitivity,
    GradientFlow,
    WeightMagnitude,
    connection_sensitivity,
    gradient_flow,
)
from fewer.weights.training.start import he_normal


def batch():
    problem = small_problem()
    return problem.inputs[:20].double(), problem.labels[:20]


def network():
    model = small_problem().build(5)
    he_normal(model, full(model), stream(0))
    return model.double()


def gradients_at(model, weights, inputs, labels, temperature=1.0):
    values = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    logits = functional_call(model, {f"{name}.weight": w for name, w in values.items()}, (inputs,))
    cross_entropy(logits / temperature, labels).backward()
    return {name: w.grad for name, w in values.items()}


def test_snips_score_is_the_derivative_by_a_mask_of_ones():
    model, (inputs, labels) = network(), batch()
    weights = maskable(model)
    ones = {name: torch.ones_like(w, requires_grad=True) for name, w in weights.items()}
    logits = functional_call(model, {f"{name}.weight": w.detach() * ones[name] for name, w in weights.items()}, (inputs,))
    cross_entropy(logits, labels).backward()
    found = connection_sensitivity(model, inputs, labels)
    for name, mask in ones.items():
        torch.testing.assert_close(found[name], mask.grad.abs())


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasps_score_is_the_weight_times_a_finite_difference_of_gradients_along_the_gradient(temperature):
    model, (inputs, labels) = network(), batch()
    weights = maskable(model)
    g = gradients_at(model, weights, inputs, labels, temperature)
    length = 1e-5 / torch.cat([v.flatten() for v in g.values()]).norm()
    ahead, behind = (
        gradients_at(model, {n: w + sign * length * g[n] for n, w in weights.items()}, inputs, labels, temperature)
        for sign in (1, -1)
    )
    found = gradient_flow(model, inputs, labels, temperature)
    for name, w in weights.items():
        curved = (ahead[name] - behind[name]) / (2 * length)
        torch.testing.assert_close(found[name], w.detach() * curved, rtol=1e-4, atol=1e-12)


def test_taking_a_little_of_a_weight_changes_the_squared_gradient_norm_by_minus_twice_grasps_score():
    model, (inputs, labels) = network(), batch()
    weights, part = maskable(model), 1e-6
    score = gradient_flow(model, inputs, labels, 1.0)["2"][1, 3]
    lesser = {name: w.detach().clone() for name, w in weights.items()}
    lesser["2"][1, 3] *= 1 - part
    norms = [sum(g.square().sum() for g in gradients_at(model, w, inputs, labels).values()) for w in (weights, lesser)]
    assert float((norms[1] - norms[0]) / part) == pytest.approx(-2 * float(score), rel=1e-3)


def test_grasps_score_of_one_logistic_weight_is_what_a_hand_computes():
    """Logits (w x, 0), label 0: g = -x (1 - s), H = x^2 s (1 - s), with s the chance of label 0."""
    model = nn.Sequential(nn.Linear(1, 2)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.7], [0.0]]))
        model[0].bias.zero_()
    x, w = 1.5, 0.7
    s = 1 / (1 + torch.exp(torch.tensor(-w * x, dtype=torch.double)))
    # The second logit's weight v has gradient +x (1 - s) and mixed curvature -x^2 s (1 - s): H g doubles.
    curved = x**2 * s * (1 - s) * -x * (1 - s) * 2
    found = gradient_flow(model, torch.tensor([[x]], dtype=torch.double), torch.tensor([0]), 1.0)
    torch.testing.assert_close(found["0"], torch.stack([w * curved, 0 * curved])[:, None])


@pytest.mark.parametrize("saliency", [WeightMagnitude(), ConnectionSensitivity(), GradientFlow()])
def test_scores_leave_the_model_as_it_was_and_are_the_same_again(saliency):
    problem = small_problem()
    images = dataclasses.replace(
        problem, inputs=torch.rand(40, 1, 8, 8, generator=stream(0)), build=lambda w: CifarResNet(8).build(w, (1, 8, 8), 2)
    )
    model = images.build(4).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (saliency.scores(model, images, 3) for _ in range(2))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training
    assert all(w.grad is None for w in model.parameters())
    assert {name: s.shape for name, s in first.items()} == {name: w.shape for name, w in maskable(model).items()}
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_grasp_reads_as_many_samples_of_each_class_as_asked():
    seen = []
    problem = small_problem()

    class Listening(nn.Sequential):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    GradientFlow(per_class=5).scores(Listening(*problem.build(3)), problem, 0)
    assert seen == [10]


def test_a_loss_that_is_not_finite_is_an_error():
    model, (inputs, labels) = network(), batch()
    with pytest.raises(CalibrationError, match="before training"):
        connection_sensitivity(model, inputs * float("inf"), labels)
