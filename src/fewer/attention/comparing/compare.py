"""Run a model once, densely, and let every method choose keys for what its layers were given."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from fewer.attention.comparing.calls import Call, Reader
from fewer.attention.comparing.kept import Compared, Kept, Row
from fewer.attention.comparing.maps import Map, maps
from fewer.attention.inputs import Inputs
from fewer.attention.method import SparseAttention
from fewer.attention.settings import configure
from fewer.attention.watch import watched
from fewer.errors import AttentionError

LOOKED_AT = 512
"""About so many queries of a prompt are looked at, unless it is said how many."""


def compare(
    model: nn.Module,
    tokens: Int[Tensor, "1 tokens"],
    methods: Mapping[str, SparseAttention],
    steps: int = 8,
    every: int | None = None,
    mapped: int = 3,
    progress: Callable[[str], None] | None = None,
) -> Compared:
    """Recall, output error and density of all methods and their random twins, on one text.

    Every layer is given what it has under dense attention, so that methods are told apart layer by layer, and nothing that one
    of them does in one layer reaches the next. Methods of prompts read the text in one call; those of decoding read its last
    `steps` tokens one by one, with the rest for a prompt. Layers with a sliding window are left out.

    Args:
        model: a transformers model whose attention `configure` can switch; it is dense afterwards.
        tokens: of one text, no more than the model has positions.
        methods: by name, as `arms` makes them.
        every: look at 32 queries of a prompt of every 32 times so many; odd, so that groups of queries are not met at the same
            place again and again. About 512 queries in all when None.
        mapped: layers, spread over the model, of which maps of two heads are drawn: where methods keep least, and most.

    Raises:
        AttentionError: a model that cannot be switched or has no layer with causal attention to all keys, too few or too many
            tokens, or a method of denoising.
    """
    _check(model, tokens, methods, steps)
    configure(model, "dense")
    watcher = _Watcher(model, methods, steps, every or tokens.shape[1] // LOOKED_AT | 1, mapped, progress)
    with torch.inference_mode(), watched(model, watcher):
        model.base_model(tokens, use_cache=False)  # type: ignore[operator]
    if not watcher.layers:
        raise AttentionError("no layer of the model has attention to all keys (sliding windows?): there is nothing to compare.")
    rows = (
        Row(name, method, Kept.stacked(watcher.found[name, "method"]), Kept.stacked(watcher.found[name, "random"]))
        for name, method in methods.items()
    )
    return Compared(tokens.shape[1], steps, watcher.every, tuple(watcher.layers), tuple(rows), tuple(watcher.maps))


class _Watcher:
    """Called with each layer's inputs, in order."""

    def __init__(
        self,
        model: Any,
        methods: Mapping[str, SparseAttention],
        steps: int,
        every: int,
        mapped: int,
        progress: Callable[[str], None] | None,
    ):
        self._stages = {name: method.stage for name, method in methods.items()}
        self._readers = {(name, "method"): Reader(method, steps) for name, method in methods.items()}
        self._readers |= {(name, "random"): Reader(method.random_twin(), steps) for name, method in methods.items()}  # type: ignore[arg-type]
        self._count = model.config.get_text_config().num_hidden_layers
        self._mapped = {self._count * (2 * i + 1) // (2 * mapped) for i in range(mapped)}
        self._progress = progress
        self.every = every
        self.layers: list[int] = []
        self.found: dict[tuple[str, str], list[Kept]] = {key: [] for key in self._readers}
        self.maps: list[Map] = []

    def __call__(self, inputs: Inputs, out: Tensor) -> None:
        if not inputs.causal:
            raise AttentionError(f"attention of layer {inputs.layer} is not causal: give a language model that decodes.")
        if self._progress is not None:
            self._progress(f"layer {inputs.layer + 1} of {self._count}")
        self.layers.append(inputs.layer)
        read: dict[str, list[Call]] = {}
        for (name, kind), reader in self._readers.items():
            calls = reader.calls(inputs)
            self.found[name, kind].append(Kept.of(calls, self.every))
            if kind == "method" and inputs.layer in self._mapped:
                read[name] = calls
        if read:
            recall = torch.stack([self.found[name, "method"][-1].recall for name in read]).mean(0)
            heads = sorted({int(recall.argmin()), int(recall.argmax())})
            self.maps += maps(inputs.layer, heads, read, self._stages)


def _check(model: Any, tokens: Tensor, methods: Mapping[str, SparseAttention], steps: int) -> None:
    if wrong := [name for name, method in methods.items() if method.stage == "denoise"]:
        raise AttentionError(
            f"{', '.join(wrong)}: attention of denoising is not causal, and no text shows what it keeps. "
            "Compared are methods of prompts and of decoding."
        )
    if tokens.ndim != 2 or len(tokens) != 1 or not 1 <= steps < tokens.shape[1]:
        raise AttentionError(
            f"tokens of shape {tuple(tokens.shape)} and {steps} steps: give [1, n], with 1 to n - 1 steps of decoding."
        )
    config = getattr(model, "config", None)
    positions = getattr(config and config.get_text_config(), "max_position_embeddings", None)
    if positions is not None and tokens.shape[1] > positions:
        raise AttentionError(f"{tokens.shape[1]} tokens for a model with {positions} positions: give fewer.")
