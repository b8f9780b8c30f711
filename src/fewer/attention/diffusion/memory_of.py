"""Where the attention of a model remembers: what a sampler writes its steps to."""

import weakref
from typing import Any

from torch import nn

from fewer.attention.memory import Memory
from fewer.attention.settings import in_force

ATTACHED: "weakref.WeakKeyDictionary[nn.Module, Memory]" = weakref.WeakKeyDictionary()
"""Of models whose attention `attach` has replaced."""


def memory_of(model: nn.Module) -> Memory:
    """The memory that the layers of `model` share in this thread; an empty one where its attention is not ours."""
    if model in ATTACHED:
        return ATTACHED[model]
    config: Any = getattr(model, "config", None)
    name = getattr(config, "_attn_implementation", None) or ""
    if not name.startswith("fewer_"):
        return Memory()
    return in_force(name, next(m for m in model.modules() if getattr(m, "config", None) is config.get_text_config()))[1]
