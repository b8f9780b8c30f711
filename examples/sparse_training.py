"""Trains a network with a tenth of its weights in one's own loop, stops half way, and goes on from a file."""

import torch
from torch import nn

import fewer
from fewer.data.images import load
from fewer.weights.training.methods import RigL
from fewer.weights.training.start import he_normal
from fewer.weights.training.updates import Updates

digits = load("digits")
train_x, test_x = (torch.from_numpy(x).flatten(1) for x in (digits.train_x, digits.test_x))
train_y, test_y = torch.from_numpy(digits.train_y), torch.from_numpy(digits.test_y)
rigl = RigL(updates=Updates(every=10))


def begin(**resume):
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, fused=True)
    return model, optimizer, fewer.attach(model, optimizer, rigl, density=0.1, steps=300, **resume)


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(train_x), train_y).backward()
        optimizer.step()  # the masks hold, and every ten steps they move


model, optimizer, handle = begin()
he_normal(model, handle.masks, torch.Generator().manual_seed(0))
train(model, optimizer, 150)
handle.save("half.safetensors")

model, optimizer, handle = begin(resume="half.safetensors")
train(model, optimizer, 150)
accuracy = (model(test_x).argmax(1) == test_y).float().mean()
print(f"accuracy {accuracy:.3f}, density {handle.density:.3f}, positions ever used {handle.record.r_itop:.3f}")
