"""What accuracy does not say of a classifier: does it know what it does not know, and does it stand small changes?"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from fewer.core import stream
from fewer.errors import MeasureError
from fewer.measure.evaluating import evaluating

PART = 512
"""Images in one forward pass."""


def logits_of(model: nn.Module, images: Float[Tensor, "samples ..."]) -> Float[Tensor, "samples classes"]:
    """In evaluation mode, without gradients."""
    with evaluating(model), torch.inference_mode():
        return torch.cat([model(part) for part in images.split(PART)])


def known_from_foreign(known: Float[Tensor, "samples classes"], foreign: Float[Tensor, "others classes"]) -> float:
    """AUROC of telling known from foreign images by the largest softmax probability (Hendrycks & Gimpel 2017, 1610.02136).

    The chance that a known image gets more confidence than a foreign one, ties counted half: 0.5 says nothing, 1 all.

    Args:
        known, foreign: logits.

    Raises:
        MeasureError: one of them is empty.
    """
    from sklearn.metrics import roc_auc_score

    if not len(known) or not len(foreign):
        raise MeasureError(f"{len(known)} known and {len(foreign)} foreign images: give at least one of each.")
    # In float64, so that confidences near 1 are told apart.
    confidence = torch.cat([known, foreign]).double().softmax(1).amax(1).cpu()
    labels = torch.cat([torch.ones(len(known)), torch.zeros(len(foreign))])
    return float(roc_auc_score(labels.numpy(), confidence.numpy()))


def attacked_accuracy(
    model: nn.Module, images: Float[Tensor, "samples ..."], labels: Int[Tensor, " samples"], epsilon: float = 8 / 255
) -> float:
    """Accuracy under the fast gradient sign attack (Goodfellow et al. 2015, arXiv 1412.6572), white box, pixels kept in [0, 1].

    Args:
        epsilon: change of each pixel, of a range of 1.

    Raises:
        MeasureError: an epsilon outside [0, 1], or no images.
    """
    if not 0 <= epsilon <= 1 or not len(labels):
        raise MeasureError(f"an attack changes pixels by 0 to 1 on at least one image, not by {epsilon} on {len(labels)}.")
    right = 0
    with evaluating(model), torch.enable_grad():
        for part, wanted in zip(images.split(PART), labels.split(PART), strict=True):
            pixels = part.clone().requires_grad_()
            loss = cross_entropy(model(pixels), wanted, reduction="sum")
            (slope,) = torch.autograd.grad(loss, pixels)
            moved = (part + epsilon * slope.sign()).clamp(0, 1)
            right += int((model(moved).argmax(1) == wanted).sum())
    return right / len(labels)


def pixel_noise(shape: tuple[int, ...], seed: int) -> Float[Tensor, "samples channels height width"]:
    """Images of uniform noise, the same for a seed."""
    return torch.rand(shape, generator=stream(seed, "foreign"))


def fitted(
    images: Float[Tensor, "samples c h w"], shape: tuple[int, int, int]
) -> Float[Tensor, "samples channels height width"]:
    """Images brought to another shape: resampled, grey ones repeated over channels, coloured ones averaged."""
    channels, *size = shape
    resized = (
        interpolate(images, size=size, mode="bilinear", antialias=True).clamp(0, 1) if [*images.shape[2:]] != size else images
    )
    if resized.shape[1] == channels:
        return resized
    return resized.mean(1, keepdim=True).expand(-1, channels, -1, -1).contiguous()
