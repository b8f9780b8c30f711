"""The networks in which lazy neurons are looked for: a vision transformer, a language model of bytes, a perceptron."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewer.activations.lazy.sites import call

Network = Literal["vit", "vit-2x2", "vit-b16", "perceptron", "bytes"]
WIDTH: dict[Network, int] = {"vit": 256, "vit-2x2": 256, "vit-b16": 3072, "perceptron": 512, "bytes": 256}
"""Hidden units a layer."""
CONTEXT = 128
"""Bytes that the language model reads."""


def build(network: Network, shape: tuple[int, ...], classes: int, width: int, seed: int) -> nn.Module:
    """An untrained network with ReLU. Its weights come from torch's global random state, which `seed` sets.

    Args:
        shape: of one image, [channels, height, width]; of no meaning to "bytes".
        width: hidden units a layer.
    """
    torch.manual_seed(seed)
    if network == "perceptron":
        pixels = shape[0] * shape[1] * shape[2]
        sizes = (nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, classes))
        return nn.Sequential(nn.Flatten(), *sizes)
    if network == "bytes":
        return _bytes(width)
    return _vit(shape, classes, width, {"vit": 4, "vit-2x2": 2}.get(network))


def _vit(shape: tuple[int, ...], classes: int, width: int, patches: int | None) -> nn.Module:
    """`patches`: along a side, of a small network; None is ViT-B/16, whose other sizes are the configuration's own."""
    from transformers import ViTConfig, ViTForImageClassification

    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes: dict[str, Any] = {
        **({"patch_size": 16} if patches is None else {**small, "patch_size": shape[1] // patches}),
        "image_size": shape[1],
        "num_channels": shape[0],
        "num_labels": classes,
        "intermediate_size": width,
        "hidden_act": "relu",
    }
    config = ViTConfig(**sizes)
    return ViTForImageClassification(config)


def _bytes(width: int) -> nn.Module:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=256,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=width,
        hidden_act="relu",
        max_position_embeddings=CONTEXT,
        use_parallel_residual=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    return GPTNeoXForCausalLM(config)


def logits(model: nn.Module, inputs: Tensor) -> Float[Tensor, "samples classes"]:
    found = call(model, inputs)
    return found if isinstance(found, Tensor) else found.logits
