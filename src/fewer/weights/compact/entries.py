"""The tensors of a compact file, and the weights from them."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewer.errors import ModelError
from fewer.weights.compact.bitmask import pack, unpack
from fewer.weights.compact.plan import Plan, kept_of, selections_of, weights

PARTS = ("shape", "compressed", "bitmask", "row_offsets")


def compact_state(model: nn.Module, made: Plan) -> dict[str, Tensor]:
    """The model's state dict with every weight of the plan as its parts: NAME.shape, NAME.compressed, NAME.bitmask and, but
    for 2:4, NAME.row_offsets.

    The first of them stands there once more, empty: transformers would take a compact weight for a missing one and go on with
    random numbers; at one of another shape it stops.
    """
    state: dict[str, Any] = dict(model.state_dict())
    selections = selections_of(model)
    chosen = {layer.name for layer in made.layers}
    for name, weight in weights(model):
        if name not in chosen:
            continue
        tied = [key for key, tensor in state.items() if isinstance(tensor, Tensor) and _same(tensor, weight)]
        for key in tied:
            del state[key]
        parts = _parts(weight, kept_of(name, weight, selections), made.form == "sparse-24-bitmask")
        state |= {_join(name, part): tensor for part, tensor in parts.items()}
    if made.layers:
        first = made.layers[0].name
        state[_join(first, "weight")] = torch.zeros(0, dtype=state[_join(first, "compressed")].dtype)
    return state


def _parts(weight: Tensor, kept: Tensor, two_of_four: bool) -> dict[str, Tensor]:
    values, bits = pack(weight.flatten(1), kept)
    shape = torch.tensor(weight.shape)
    if two_of_four:
        return {"shape": shape[:, None], "compressed": values.view(kept.shape[0], -1), "bitmask": bits}
    counts = kept.sum(-1).cpu()
    return {"shape": shape, "compressed": values, "bitmask": bits, "row_offsets": counts.cumsum(0) - counts}


def unshared(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor once, each in memory of its own, which is what safetensors asks for."""
    kept: dict[str, Tensor] = {}
    for key, tensor in state_dict.items():
        if not any(_same(tensor, other) for other in kept.values()):
            kept[key] = tensor
    return {key: tensor.detach().cpu().clone().contiguous() for key, tensor in kept.items()}


def expanded(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict from a file's tensors: parts become weights, everything else stays as it is.

    Raises:
        ModelError: parts that are missing, of the wrong type or shape, or that contradict each other.
    """
    compact = {key.removesuffix("bitmask").removesuffix(".") for key in stored if key.split(".")[-1] == "bitmask"}
    state = {key: tensor for key, tensor in stored.items() if not _is_part(key, compact)}
    for name in sorted(compact):
        parts = {part: stored[_join(name, part)] for part in PARTS if _join(name, part) in stored}
        try:
            state[_join(name, "weight")] = _weight(parts)
        except ModelError as error:
            raise ModelError(f"the stored weight of {name or 'the module'} is damaged: {error} Save the model again.") from None
    return state


def _weight(parts: Mapping[str, Tensor]) -> Tensor:
    if missing := {"shape", "compressed"} - parts.keys():
        raise ModelError(f"it has a bitmask and no {' and no '.join(sorted(missing))}.")
    values, bits = parts["compressed"], parts["bitmask"]
    shape = parts["shape"].flatten().tolist()
    if len(shape) < 2 or min(shape) < 1 or not values.is_floating_point():
        raise ModelError(f"a weight of shape {shape} and type {values.dtype}.")
    rows, width = shape[0], int(torch.tensor(shape[1:]).prod())
    if bits.shape[:1] != (rows,):
        raise ModelError(f"its shape is {shape} and its bitmask has {bits.shape[0]} rows.")
    weight = unpack(values, bits, width)
    _check_rows(weight.shape, parts)
    return weight.view(shape)


def _check_rows(shape: Iterable[int], parts: Mapping[str, Tensor]) -> None:
    """Both layouts say twice how many values a row has; the two must agree."""
    rows, width = shape
    values, bits = parts["compressed"], parts["bitmask"]
    counts = _POPULATION[bits.int()].sum(-1)
    if (offsets := parts.get("row_offsets")) is not None:
        if not torch.equal(offsets.flatten().long(), counts.cumsum(0) - counts):
            raise ModelError("its row offsets contradict its bitmask.")
    elif values.shape != (rows, width // 2) or bool((counts != width // 2).any()):
        raise ModelError(f"2:4 packed, each of {rows} rows keeps {width // 2} weights; the file disagrees.")


_POPULATION = torch.tensor([bin(byte).count("1") for byte in range(256)])


def _is_part(key: str, compact: set[str]) -> bool:
    name, _, part = key.rpartition(".")
    return part in PARTS and name in compact


def _join(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def _same(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()
