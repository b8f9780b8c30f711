import pytest
import torch
from torch import nn

from fewer.errors import MeasureError
from fewer.weights.tasks.reliability import attacked_accuracy, fitted, known_from_foreign, logits_of, pixel_noise


def test_auroc_is_the_chance_that_a_known_image_gets_more_confidence():
    known, foreign = torch.tensor([[3.0, 0], [2.0, 0]]), torch.tensor([[2.5, 0], [0.0, 1], [2.0, 0]])
    # 3 beats all three; 2 beats one and ties with one: 4.5 of 6
    assert known_from_foreign(known, foreign) == pytest.approx(4.5 / 6)


def test_auroc_tells_confidences_apart_that_round_to_one():
    assert known_from_foreign(torch.tensor([[30.0, 0]]), torch.tensor([[29.0, 0]])) == 1


def test_auroc_needs_both_kinds_of_images():
    with pytest.raises(MeasureError, match="0 foreign"):
        known_from_foreign(torch.zeros(2, 2), torch.zeros(0, 2))


def linear():
    """Logits (x, -x) of one pixel, around one half."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[1].bias.copy_(torch.tensor([-0.5, 0.5]))
    return model


def test_an_attack_moves_every_pixel_by_epsilon_against_its_label():
    images, labels = torch.tensor([0.9, 0.6, 0.4, 0.1]).view(4, 1, 1, 1), torch.tensor([0, 0, 1, 1])
    assert attacked_accuracy(linear(), images, labels, 0.0) == 1
    assert attacked_accuracy(linear(), images, labels, 0.2) == 0.5
    assert attacked_accuracy(linear(), images, labels, 0.5) == 0


def test_an_attack_stays_within_black_and_white():
    seen = []

    class Watching(nn.Sequential):
        def forward(self, x):
            seen.append(x.detach())
            return super().forward(x)

    attacked_accuracy(Watching(*linear()), torch.tensor([0.9, 0.05]).view(2, 1, 1, 1), torch.tensor([1, 0]), 0.3)
    assert torch.stack([seen[1].min(), seen[1].max()]).tolist() == [0, 1]


@pytest.mark.parametrize("epsilon", [-0.1, 1.1])
def test_an_attack_outside_the_range_is_refused(epsilon):
    with pytest.raises(MeasureError, match="changes pixels by 0 to 1"):
        attacked_accuracy(linear(), torch.zeros(1, 1, 1, 1), torch.tensor([0]), epsilon)


def test_measuring_leaves_model_and_mode_alone():
    model = nn.Sequential(nn.BatchNorm2d(1), *linear())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logits_of(model, torch.rand(5, 1, 1, 1))
    attacked_accuracy(model, torch.rand(5, 1, 1, 1), torch.zeros(5, dtype=torch.long))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_foreign_images_are_fitted_to_the_known():
    grey = torch.rand(2, 1, 8, 8)
    coloured = fitted(grey, (3, 32, 32))
    assert coloured.shape == (2, 3, 32, 32)
    assert torch.equal(coloured[:, 0], coloured[:, 2])
    assert torch.equal(fitted(grey, (1, 8, 8)), grey)
    assert fitted(coloured, (1, 28, 28)).shape == (2, 1, 28, 28)


def test_noise_is_the_same_for_a_seed():
    assert torch.equal(pixel_noise((2, 1, 4, 4), 1), pixel_noise((2, 1, 4, 4), 1))
    assert not torch.equal(pixel_noise((2, 1, 4, 4), 1), pixel_noise((2, 1, 4, 4), 2))
