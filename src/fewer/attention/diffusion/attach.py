"""Sparse attention for models that have attention code of their own (LLaDA and Dream load theirs from the hub).

While the forward pass of a layer runs, its call of torch's `scaled_dot_product_attention` goes to the method instead. Nothing
of the model's code has to be known but which modules are its layers.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from fewer.attention.diffusion.memory_of import ATTACHED
from fewer.attention.inputs import Inputs
from fewer.attention.memory import Memory
from fewer.attention.method import SparseAttention
from fewer.errors import AttentionError


class Attached:
    """A model whose attention is a method's. As a context manager it lets go at the end."""

    def __init__(self, model: nn.Module, layers: Mapping[int, nn.Module]):
        self.model, self.layers = model, dict(layers)
        self.memory = Memory()

    def remove(self) -> None:
        """The model is what it was."""
        for module in self.layers.values():
            del module.forward
        ATTACHED.pop(self.model, None)

    def __enter__(self) -> "Attached":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def attach(model: nn.Module, method: SparseAttention, layers: Sequence[nn.Module] | None = None) -> Attached:
    """Give every layer of `model` the attention of `method`.

    Args:
        layers: the modules in whose forward pass attention is computed, in order; those that carry a number (`layer_idx`, as
            in transformers and Dream, or `layer_id`, as in LLaDA) when not given.

    Raises:
        AttentionError: no layer is found, or the model has a method already. At the first pass: a layer that does not call
            torch's `scaled_dot_product_attention` exactly once, dropout, or a mask of anything but all keys.
    """
    if model in ATTACHED:
        raise AttentionError("this model has sparse attention attached already: call `remove()` of that first.")
    found = dict(enumerate(layers)) if layers is not None else _numbered(model)
    if not found:
        raise AttentionError(
            f"no module of {type(model).__name__} has a layer_idx or a layer_id: give its attention modules as `layers`."
        )
    attached = Attached(model, found)
    for number, module in found.items():
        module.forward = _answered(module.forward, method, attached.memory, number)
    ATTACHED[model] = attached.memory
    return attached


def _numbered(model: nn.Module) -> dict[int, nn.Module]:
    """Number -> module; the innermost where several carry the same."""
    numbers = ((getattr(module, "layer_idx", getattr(module, "layer_id", None)), module) for module in model.modules())
    return dict(sorted((number, module) for number, module in dict(numbers).items() if number is not None))


def _answered(forward: Callable, method: SparseAttention, memory: Memory, layer: int) -> Callable:
    @wraps(forward)
    def answered(*arguments: Any, **keywords: Any) -> Any:
        with _Answering(method, memory, layer) as answering:
            out = forward(*arguments, **keywords)
        if answering.calls != 1:
            raise AttentionError(
                f"layer {layer} called torch's scaled_dot_product_attention {answering.calls} times, not once: its attention "
                "is not replaced. Load the model with SDPA attention (no flash-attn), or give its attention modules (`layers`)."
            )
        return out

    return answered


class _Answering(TorchFunctionMode):
    """Torch's attention is the method's while this is entered."""

    def __init__(self, method: SparseAttention, memory: Memory, layer: int):
        super().__init__()
        self.method, self.memory, self.layer, self.calls = method, memory, layer, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        self.calls += 1
        return self.answer(*args, **(kwargs or {}))

    def answer(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """With the arguments of torch's function."""
        if dropout_p:
            raise AttentionError(f"sparse attention has no dropout; layer {self.layer} wants {dropout_p}. Call model.eval().")
        if attn_mask is not None and not _lets_all(attn_mask):
            raise AttentionError(
                f"layer {self.layer} has a mask of shape {tuple(attn_mask.shape)} that leaves keys out: give sequences without "
                "padding."
            )
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        return self.method.attend(Inputs(query, key, value, scale, is_causal, self.layer), self.memory)


def _lets_all(mask: Tensor) -> bool:
    return bool((mask if mask.dtype == torch.bool else mask == 0).all())
