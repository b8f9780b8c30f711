"""Trains a narrow network dense, and four times as wide with one weight in four, at the same multiply-adds."""

import copy

import torch
from torch import nn

import fewer
from fewer.data.images import load
from fewer.weights.iso_flop.accounting import step_times
from fewer.weights.training.methods import RigL
from fewer.weights.training.updates import Updates

digits = load("digits")
train_x, test_x = (torch.from_numpy(x).flatten(1) for x in (digits.train_x, digits.test_x))
train_y, test_y = torch.from_numpy(digits.train_y), torch.from_numpy(digits.test_y)
STEPS = 400


def train(model, optimizer):
    for part in torch.randint(len(train_y), (STEPS, 128), generator=torch.Generator().manual_seed(0)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(train_x[part]), train_y[part]).backward()
        optimizer.step()
    return nn.functional.cross_entropy(model(test_x), test_y).item()


torch.manual_seed(0)
dense = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 10))
wide = fewer.iso_flop(copy.deepcopy(dense), "wide", 0.75, dense=())
print(wide.report)

sgd = torch.optim.SGD(wide.model.parameters(), 0.05, 0.9)
with fewer.attach(wide.model, sgd, RigL(updates=Updates(every=10)), masks=wide.masks, steps=STEPS) as training:
    print(f"wide, sparse: {train(wide.model, sgd):.3f}, {int(training.density * training.record.size)} weights")
print(f"dense: {train(dense, torch.optim.SGD(dense.parameters(), 0.05, 0.9)):.3f}, 656 weights")
for name, time in step_times({"dense": dense, "wide": wide.model}, train_x[:128]).items():
    print(f"{name}: {1e6 * time.median:.0f} us a step as measured")
