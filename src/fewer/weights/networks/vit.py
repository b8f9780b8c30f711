"""A small vision transformer (Dosovitskiy et al. 2021, arXiv 2010.11929), plain as in Beyer et al. 2022 (arXiv 2205.01580)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from fewer.errors import ModelError
from fewer.weights.networks.network import ImageShape, Network


@dataclass(frozen=True)
class ViT(Network):
    """Square patches, fixed sine positions, pre-norm blocks, the mean over patches. No class token and no dropout.

    Queries, keys and values are one linear layer, so that masks reach every weight.
    """

    depth: int = 4
    heads: int = 4
    patch: int = 4
    """Side of a patch in pixels."""
    stretch: int = 4
    """Hidden units of a block's MLP, in widths."""

    def build(self, width: int, shape: ImageShape, classes: int) -> nn.Sequential:
        channels, height, across = shape
        if height % self.patch or across % self.patch:
            raise ModelError(
                f"images of {height} x {across} cannot be cut into patches of {self.patch}; give a patch that divides both."
            )
        if width < 1 or width % 4 or width % self.heads:
            raise ModelError(f"the width of a ViT must be a multiple of 4 and of its {self.heads} heads, not {width}.")
        return nn.Sequential(
            Patches(channels, width, self.patch, (height // self.patch, across // self.patch)),
            *(TransformerBlock(width, self.heads, self.stretch) for _ in range(self.depth)),
            nn.LayerNorm(width),
            Mean(),
            nn.Linear(width, classes),
        )


class Patches(nn.Module):
    """Each patch as one vector, with its place added."""

    def __init__(self, channels: int, width: int, patch: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, width, patch, patch)
        self.register_buffer("places", sine_places(*grid, width), persistent=False)

    def forward(self, x: Float[Tensor, "samples channels height width"]) -> Float[Tensor, "samples patches features"]:
        return self.project(x).flatten(2).transpose(1, 2) + self.places


class TransformerBlock(nn.Module):
    """Attention, then an MLP with GELU, each added to what it reads through a norm."""

    def __init__(self, width: int, heads: int, stretch: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.read, self.write = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, stretch * width), nn.Linear(stretch * width, width)

    def forward(self, x: Float[Tensor, "samples patches width"]) -> Float[Tensor, "samples patches width"]:
        query, key, value = self.read(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.write(attended)
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Mean(nn.Module):
    """The mean over patches."""

    def forward(self, x: Float[Tensor, "samples patches width"]) -> Float[Tensor, "samples width"]:
        return x.mean(1)


def sine_places(rows: int, columns: int, width: int) -> Float[Tensor, "places width"]:
    """A quarter of the width each for sine and cosine of row and column, at wavelengths from 2 pi to 2 pi 10^4."""
    rates = 1 / 10_000 ** torch.linspace(0, 1, width // 4)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [place.flatten()[:, None] * rates for place in (row, column)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], 1)
