"""Which method is in force in which layer: by name, with parameters kept in the model's config."""

import threading
import weakref
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from torch import nn

from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention
from fewer.core.registry import nearest
from fewer.errors import AttentionError

NAMES = {
    "dense": "fewer.attention.dense:DenseAttention",
    "anchor": "fewer.attention.anchor:Anchor",
    "sparsed": "fewer.attention.sparsed:SparseD",
    "tidal": "fewer.attention.tidal:Tidal",
    "oracle_keys": "fewer.attention.decode_baselines:OracleKeys",
    "sinks_and_window": "fewer.attention.decode_baselines:SinksAndWindow",
    "local": "fewer.attention.families.local:LocalAttention",
    "vertical_slash": "fewer.attention.families.vertical_slash:VerticalSlashAttention",
    "block": "fewer.attention.families.block:BlockAttention",
    "flex_prefill": "fewer.attention.families.flex_prefill:FlexPrefill",
    "quest": "fewer.attention.families.quest:Quest",
    "snapkv": "fewer.attention.families.snapkv:SnapKV",
    "ada_snapkv": "fewer.attention.families.ada_snapkv:AdaSnapKV",
}
"""Behind "fewer_": the class of each method."""

INSTEAD = "instead"
"""Where a model's memory holds a method that is in force in all layers, whatever its config says: `watch.using`."""

FIELD = "fewer_attention"
"""Attribute of a transformers config: a dict of plain values, so that it is saved with the model."""


def named(name: str, **parameters: Any) -> SparseAttention:
    """The method `name` (with or without "fewer_"); "random:NAME" is its random twin.

    Raises AttentionError for a name that is unknown and for parameters that it does not take.
    """
    plain = name.removeprefix("fewer_")
    if plain.startswith("random:"):
        return named(plain.removeprefix("random:"), **parameters).random_twin()  # type: ignore[return-value]
    if plain not in NAMES:
        raise AttentionError(f'no attention is named "{name}"{nearest(plain, NAMES)}; allowed: {", ".join(NAMES)}.')
    module, _, class_ = NAMES[plain].partition(":")
    try:
        return getattr(import_module(module), class_)(**parameters)
    except TypeError as error:
        raise AttentionError(f"{plain} does not take these parameters: {error}.") from None


def configure(
    model: nn.Module,
    method: str = "anchor",
    *,
    layers: Iterable[int] | None = None,
    by_layer: Mapping[int, Mapping[str, Any] | None] | None = None,
    **parameters: Any,
) -> nn.Module:
    """Switch a transformers model to sparse attention and return it. It is kept in `model.config`, and so saved with it.

    Args:
        method: "anchor", "tidal", ... (`fewer.attention.NAMES`), or "dense" to go back; "random:NAME" for a twin.
        layers: those that are sparse, counted from 0; the others have dense attention. All when None.
        by_layer: parameters of single layers, beside or instead of `parameters`; None makes a layer dense.
        parameters: of the method, in every layer.

    Raises:
        AttentionError: an unknown method or parameter, a layer that the model lacks, a model that cannot be switched.
    """
    import fewer.attention.registered  # noqa: F401 - registers the names

    config: Any = getattr(model, "config", None)
    switch = getattr(model, "set_attn_implementation", None)
    if config is None or switch is None or not model._can_set_attn_implementation():  # type: ignore[operator]
        raise AttentionError(
            f"the attention of a {type(model).__name__} cannot be switched: it does not call transformers' AttentionInterface. "
            "Load a model class that does (most of transformers' own since 4.48)."
        )
    count = config.get_text_config().num_hidden_layers
    asked = set(range(count)) if layers is None else set(layers)
    own = {int(layer): None if given is None else dict(given) for layer, given in (by_layer or {}).items()}
    if unknown := sorted(layer for layer in asked | own.keys() if not 0 <= layer < count):
        raise AttentionError(f"the model has layers 0 to {count - 1}; given: {', '.join(map(str, unknown))}.")
    said = {
        "method": method.removeprefix("fewer_"),
        "parameters": parameters,
        "by_layer": {str(layer): own.get(layer, {} if layer in asked else None) for layer in range(count)},
    }
    for layer in range(count):
        _method(said, layer).check(count)
    plain = method.removeprefix("fewer_").rpartition(":")[2]
    for holder in {id(c): c for c in (config, config.get_text_config())}.values():
        setattr(holder, FIELD, said)
    switch(f"fewer_{plain}")
    return model


class _InForce(NamedTuple):
    said: Any
    name: str
    method: SparseAttention
    memories: dict[int, Memory]


_FOUND: "weakref.WeakKeyDictionary[nn.Module, _InForce]" = weakref.WeakKeyDictionary()
_MEMORIES: dict[int, dict[int, Memory]] = {}  # by config, then by thread


def in_force(name: str, module: nn.Module) -> tuple[SparseAttention, Memory]:
    """The method of an attention module under the registered `name`, and the memory that its model's layers share."""
    config: Any = module.config
    said: Any = getattr(config, FIELD, None)
    found = _FOUND.get(module)
    if found is None or found.said is not said or found.name != name:
        applies = said is not None and said["method"].rpartition(":")[2] == name.removeprefix("fewer_")
        method = _method(said, getattr(module, "layer_idx", None) or 0) if applies else named(name)
        found = _FOUND[module] = _InForce(said, name, method, _memories_of(config))
    memory = _of_thread(found.memories)
    return memory.get(INSTEAD, found.method), memory


def memory_of(config: Any) -> Memory:
    """The memory that the layers of the model with this config share in this thread."""
    return _of_thread(_memories_of(config))


def _of_thread(memories: dict[int, Memory]) -> Memory:
    return memories.setdefault(threading.get_ident(), Memory())


def _method(said: Mapping[str, Any], layer: int) -> SparseAttention:
    own = said["by_layer"].get(str(layer), {})
    return named("dense") if own is None else named(said["method"], **{**said["parameters"], **own})


def _memories_of(config: Any) -> dict[int, Memory]:
    if id(config) not in _MEMORIES:
        _MEMORIES[id(config)] = {}
        weakref.finalize(config, _MEMORIES.pop, id(config), None)
    return _MEMORIES[id(config)]
