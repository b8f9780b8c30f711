"""How a method that remembers a cache knows it again."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

EVERY = 16


def places(keys: int, device: torch.device) -> Int[Tensor, " marks"]:
    """One key in `EVERY`, at a place that wanders, so that texts of one form that differ here or there are told apart."""
    blocks = torch.arange(keys // EVERY, device=device)
    inside = blocks * EVERY + blocks * 7 % EVERY
    return torch.cat([inside, torch.tensor([keys - 1], device=device)])


class Marks:
    """Copies of some of the first `keys` keys of a cache.

    In the first layer a key depends on its token and position alone, so there two caches differ only where a mark is; in
    all others from the first differing token on.
    """

    def __init__(self, k: Float[Tensor, "batch kv_heads keys dim"]) -> None:
        self.keys = k.shape[2]
        self.copies = k[:, :, places(self.keys, k.device)]

    def match(self, k: Float[Tensor, "batch kv_heads keys dim"]) -> bool:
        """Are these the first keys of that cache?"""
        if k.shape[2] < self.keys or k[:, :, 0].shape != self.copies[:, :, 0].shape or k.device != self.copies.device:
            return False
        return torch.equal(k[:, :, places(self.keys, k.device)], self.copies)
