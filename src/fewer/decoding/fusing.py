"""`fewer.fuse`: a model's decoding steps in one call each, dense or sparse."""

import logging
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer

from fewer.activations.linear import SparseLinear
from fewer.attention.cache import BufferLayer, adopt
from fewer.decoding.plan import Attend, Plan
from fewer.decoding.shape import shape_of
from fewer.errors import ModelError
from fewer.kernels.dispatch import cpu_path
from fewer.weights.accelerate.linear import version

log = logging.getLogger("fewer.decoding")

DENSE = ("sdpa", "eager", "fewer_dense")
"""Names of attention to all cached tokens, for which there is a kernel in the plan."""
_TAKEN = (
    "input_ids",
    "inputs_embeds",
    "attention_mask",
    "position_ids",
    "cache",
    "past_key_values",
    "use_cache",
    "return_dict",
)
"""What a plan knows; a call that says anything else goes the ordinary way."""


def fuse(model: nn.Module) -> nn.Module:
    """Let a decoder take a single token (one sequence, with a cache, no gradients) in one call of kernels; returns `model`.

    Linear layers keep what they are: dense, accelerated (`fewer.accelerate`) or with sparse inputs (`fewer.activations`), in
    any order with this; attention too, dense or `fewer_...`. What the model computes does not change but for rounding.
    Anything but a single token goes the ordinary way, and so does a single token where the model cannot be fused: the log
    says why. A `DynamicCache` that comes with a token gets buffers in place of its tensors (`fewer.attention.Cache`).
    For Llama, Mistral, Qwen2 and models with their layers, in float32 on the CPU.

    Raises:
        ModelError: a model whose layers are not known, of another type or on another device, or without kernels (FEWER_KERNELS
            is reference, or numba is missing).
    """
    unfuse(model)
    base = _base(model)
    shape_of(base)
    if cpu_path() == "reference":
        raise ModelError("there are no kernels to fuse: FEWER_KERNELS is reference, or numba is missing.")
    base.forward = _Fused(base)
    return model


def unfuse(model: nn.Module) -> nn.Module:
    """Undo `fuse`. Returns `model`."""
    base = _base(model)
    if isinstance(vars(base).get("forward"), _Fused):
        del base.forward
    return model


def fused(model: nn.Module) -> bool:
    """Is the model fused?"""
    return isinstance(vars(_base(model)).get("forward"), _Fused)


def _base(model: nn.Module) -> Any:
    return getattr(model, "base_model", model)


class _Fused:
    """What a decoder's `forward` becomes."""

    def __init__(self, base: Any):
        self._base = base
        self._plan: tuple[Plan, list[_Part], int] | None = None
        self._said = ""
        self._lock = Lock()  # a plan has room for one token

    def __call__(self, *arguments: Any, **given: Any) -> Any:
        cache = given.get("cache", given.get("past_key_values"))
        x = self._single(arguments, given, cache)
        if x is not None:
            with self._lock:
                if (plan := self._ready(cache)) is not None:
                    return self._token(plan, x, given.get("position_ids"), cache)
        return type(self._base).forward(self._base, *arguments, **given)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Fused, (self._base,)  # a copy's weights lie elsewhere

    def _single(self, arguments: tuple, given: dict[str, Any], cache: Any) -> Tensor | None:
        """The embedded token, if this is a step that a plan is for."""
        ids, embedded, mask = given.get("input_ids"), given.get("inputs_embeds"), given.get("attention_mask")
        token = embedded if ids is None else ids
        if arguments or cache is None or token is None or torch.is_grad_enabled() or self._base.training:
            return None
        config = self._base.config
        if token.shape[:2] != (1, 1) or config.output_hidden_states or config.output_attentions:
            return None
        if any(value is not None for name, value in given.items() if name not in _TAKEN):
            return None
        cached = cache.get_seq_length()
        layers = getattr(cache, "layers", ())
        if (
            cached == 0
            or len(layers) != len(self._base.layers)
            or {type(layer) for layer in layers} - {DynamicLayer, BufferLayer}
        ):
            return None
        if mask is not None and (not isinstance(mask, Tensor) or mask.shape != (1, cached + 1) or not bool(mask.all())):
            return None
        return self._base.embed_tokens(ids) if embedded is None else embedded

    def _ready(self, cache: Any) -> Plan | None:
        """A plan for the modules as they are; None where there is none, or where layers see less than all that is cached."""
        window = getattr(self._base.config, "sliding_window", None)
        if window is not None and cache.get_seq_length() >= window:
            return None
        if (
            self._plan is None
            or self._plan[2] != torch.get_num_threads()
            or not all(part.unchanged() for part in self._plan[1])
        ):
            seen = _parts(self._base)
            try:
                plan = Plan(self._base, shape_of(self._base), torch.get_num_threads())
            except ModelError as error:
                if str(error) != self._said:
                    self._said = str(error)
                    log.warning("tokens are decoded the ordinary way: %s", error)
                return None
            self._plan = plan, seen, torch.get_num_threads()
        if any(part.module._forward_hooks or part.module._forward_pre_hooks for part in self._plan[1]):
            return None
        sparse = (part.module for part in self._plan[1] if isinstance(part.module, SparseLinear))
        return None if any(module.site.tally is not None for module in sparse) else self._plan[0]

    def _token(self, plan: Plan, x: Tensor, position: Tensor | None, cache: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPast

        adopt(cache)
        layers: list[BufferLayer] = cache.layers
        if position is None:
            position = torch.tensor([[cache.get_seq_length()]])
        for layer in layers:
            layer.extend(1)
        hidden = plan.token(x, self._base.rotary_emb(x, position_ids=position), layers, self._attend(layers))
        return BaseModelOutputWithPast(last_hidden_state=hidden, cache=cache)

    def _attend(self, layers: list[BufferLayer]) -> Attend | None:
        """What transformers would call for attention; None where the plan's own kernel does the same."""
        name = self._base.config._attn_implementation
        if name in DENSE:
            return None
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        function: Any = ALL_ATTENTION_FUNCTIONS[name]
        modules = [layer.self_attn for layer in self._base.layers]

        def attend(number: int, q: Tensor) -> Tensor:
            module, layer = modules[number], layers[number]
            return function(module, q, layer.keys, layer.values, None, dropout=0.0, scaling=module.scaling)[0]

        return attend


class _Part(NamedTuple):
    """A module that a plan stands for, as it was."""

    parent: dict[str, Any]
    name: str
    module: nn.Module
    parameters: tuple[tuple[Tensor, int, int], ...]
    """With how often each was written to, and where it lies."""

    def unchanged(self) -> bool:
        return self.parent.get(self.name) is self.module and all(
            version(tensor) == writes and tensor.data_ptr() == address for tensor, writes, address in self.parameters
        )


def _parts(base: Any) -> list[_Part]:
    return [
        _Part(
            module._modules,
            name,
            child,
            tuple((p, version(p), p.data_ptr()) for p in child._parameters.values() if p is not None),
        )
        for module in base.modules()
        for name, child in module._modules.items()
        if child is not None
    ]
