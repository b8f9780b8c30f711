"""What a search is told apart by when its scores are kept: everything that a score depends on."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewer.errors import StoreError


def fingerprint(*things: Any) -> str:
    """A digest of networks (structure and weights), tensors, dataclasses, containers and plain values.

    Raises:
        StoreError: something else is among them, which another process could not be sure to recognise.
    """
    digest = hashlib.sha256()
    _add(digest, things)
    return digest.hexdigest()[:20]


def _add(digest: Any, thing: Any) -> None:
    digest.update(f"<{type(thing).__module__}.{type(thing).__qualname__}".encode())
    if isinstance(thing, Tensor):
        digest.update(f"{thing.dtype}{tuple(thing.shape)}".encode())
        digest.update(thing.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    elif isinstance(thing, nn.Module):
        digest.update(repr(thing).encode())
        _add(digest, dict(thing.state_dict()))
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        _add(digest, {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)})
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            _add(digest, key)
            _add(digest, value)
    elif isinstance(thing, list | tuple):
        for value in thing:
            _add(digest, value)
    elif isinstance(thing, str | bytes | int | float | bool | type(None)):
        digest.update(repr(thing).encode())
    else:
        raise StoreError(
            f"a {type(thing).__name__} cannot be recognised again, so its scores cannot be kept. Make samplers and objectives "
            "dataclasses of tensors, networks and plain values, or search without a folder."
        )
    digest.update(b">")
