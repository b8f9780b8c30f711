"""Look at what attention is given and what it makes of it while a model runs, or put another method in its place."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from fewer.attention.inputs import Inputs
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention
from fewer.attention.settings import INSTEAD, configure, memory_of

WATCHER = "watcher"
Watcher = Callable[[Inputs, Tensor], None]
"""Called with a layer's inputs and its output [batch, heads, queries, dim], once a layer and forward pass."""


@contextmanager
def watched(model: nn.Module, watcher: Watcher) -> Iterator[None]:
    """Within it, every layer of a model that `configure` has switched calls `watcher`, in this thread."""
    config: Any = model.config
    memory = memory_of(config.get_text_config())
    with _set(memory, WATCHER, watcher):
        yield


@contextmanager
def using(model: nn.Module, method: SparseAttention) -> Iterator[None]:
    """Within it, every layer of a model attends by `method`, which needs no name, in this thread; afterwards it is dense."""
    config: Any = configure(model, "dense").config
    memory = memory_of(config.get_text_config())
    with _set(memory, INSTEAD, method):
        yield


@contextmanager
def _set(memory: Memory, key: str, value: Any) -> Iterator[None]:
    """Afterwards it is what it was: these may stand within one another."""
    before = {key: memory[key]} if key in memory else {}
    memory[key] = value
    try:
        yield
    finally:
        del memory[key]
        memory.update(before)
