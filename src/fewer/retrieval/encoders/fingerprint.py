"""A hash of a model: what tells a cache that its vectors would come out the same."""

import hashlib
from collections.abc import Mapping

import torch


def model_hash(tensors: Mapping[str, torch.Tensor], vocabulary: Mapping[str, int]) -> str:
    """Of every weight and its name, and of the vocabulary; 32 hexadecimal digits."""
    found = hashlib.sha256(repr(sorted(vocabulary.items())).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:32]
