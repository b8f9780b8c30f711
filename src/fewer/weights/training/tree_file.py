"""Nested states of tensors and plain values (a model's, an optimiser's) as one safetensors file, without pickles."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fewer.errors import ResumeError
from fewer.files import write_whole

FORMAT = "fewer state 1"


def write_tree(path: str | Path, tree: Mapping[str, Any]) -> Path:
    """Write mappings, lists, tuples, tensors, text, numbers, bools and None, nested as they like. Tensors may share memory.

    Raises:
        OSError: the folder cannot be written; an older file stays as it was.
        ResumeError: the tree holds something else.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    plain = json.dumps(_flat(tree, tensors, {}))
    return write_whole(path, save(tensors, {"format": FORMAT, "tree": plain}))


def read_tree(path: str | Path) -> dict[str, Any]:
    """What `write_tree` wrote; tensors on the CPU.

    Raises:
        ResumeError: a file that is missing, damaged, or that `write_tree` did not write.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ResumeError(f"{path} holds no training state of fewer (its format is {metadata.get('format')!r}).")
            return _nested(json.loads(metadata["tree"]), {key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, LookupError, ValueError, TypeError) as error:
        raise ResumeError(f"{path} cannot be read as a training state: {error}") from None


def _flat(value: Any, tensors: dict[str, Tensor], keys: dict[tuple[Any, ...], str]) -> Any:
    """`value` as JSON holds it, its tensors put into `tensors`; `keys` knows those that are there by where they lie."""
    if isinstance(value, Tensor):
        value = value.detach()
        where = (value.data_ptr(), value.device, value.dtype, value.shape, value.stride(), value.numel() and 1)
        if value.numel() and where in keys:
            return {"tensor": keys[where]}
        key = keys[where] = str(len(tensors))
        # safetensors refuses two tensors in one storage, so a view that is not all of it becomes a copy
        lies_alone = value.is_contiguous() and value.untyped_storage().nbytes() == value.nbytes
        tensors[key] = value if lies_alone else value.contiguous().clone()
        return {"tensor": key}
    if isinstance(value, Mapping):
        return {"pairs": [[key, _flat(inner, tensors, keys)] for key, inner in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_flat(inner, tensors, keys) for inner in value]}
    if isinstance(value, list):
        return [_flat(inner, tensors, keys) for inner in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ResumeError(f"a state holds tensors and plain values, not {type(value).__name__}; save that part yourself.")


def _nested(flat: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(flat, list):
        return [_nested(inner, tensors) for inner in flat]
    if not isinstance(flat, dict):
        return flat
    ((kind, inside),) = flat.items()
    if kind == "tensor":
        return tensors[inside]
    if kind == "tuple":
        return tuple(_nested(inner, tensors) for inner in inside)
    return {key: _nested(inner, tensors) for key, inner in inside}
