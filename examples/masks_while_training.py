"""Prunes a trained network, then trains what is left under masks that hold."""

import torch
from torch import nn

import fewer
from fewer.data.images import load
from fewer.weights.masks import held, hold, release

digits = load("digits")
train_x, test_x = (torch.from_numpy(x).flatten(1) for x in (digits.train_x, digits.test_x))
train_y, test_y = torch.from_numpy(digits.train_y), torch.from_numpy(digits.test_y)


def train(model, steps=300):
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(train_x), train_y).backward()
        optimizer.step()


def accuracy(model):
    return float((model(test_x).argmax(1) == test_y).float().mean())


torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
train(model)
print(f"dense            {accuracy(model):.3f}")
fewer.prune(model, "magnitude", density=0.1, pattern="layer")
print(f"10% kept         {accuracy(model):.3f}")
hold(model, model.fewer.selections)  # from here on no optimiser step moves a masked weight off zero
train(model)
print(f"trained further  {accuracy(model):.3f}, density {held(model).density:.3f}")
release(model)  # plain parameters again, the zeros in them
