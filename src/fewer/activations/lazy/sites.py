"""Where the hidden units of a network are: activations, and the linear layers that read them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fewer.activations.lazy.sparse_hidden import SparseHidden
from fewer.errors import ModelError
from fewer.measure.evaluating import evaluating

HOMES = ("torch.nn.modules.activation", "transformers.activations")
NEVER_OFF = ("Tanh", "Sigmoid", "Softmax", "LogSoftmax", "Softmax2d", "Softmin", "MultiheadAttention", "LinearActivation")
"""Activations that do not tell units that fire from those that do not."""

Inputs = Tensor | Mapping[str, Tensor]
"""What a model is called with: its only argument, or its arguments by name. The first axis counts samples."""


class Site(NamedTuple):
    """The hidden units of one MLP."""

    name: str
    """Of the activation, dotted."""
    activation: nn.Module
    reader_name: str
    reader: nn.Module
    """The linear layer that reads the hidden units."""
    gated: bool
    """It reads the activation times something else (SwiGLU and its like), and not the activation itself."""

    @property
    def units(self) -> int:
        return widths(self.reader)[0]


def widths(linear: nn.Module) -> tuple[int, int]:
    """(in, out) of a linear layer; GPT-2's are called Conv1D and keep their weights the other way round."""
    rows, columns = linear.weight.shape  # type: ignore[misc]
    return (int(columns), int(rows)) if isinstance(linear, nn.Linear) else (int(rows), int(columns))


def call(model: nn.Module, inputs: Inputs) -> Any:
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)


def find_sites(model: nn.Module, inputs: Inputs | None = None) -> tuple[Site, ...]:
    """The hidden units of every MLP that a forward pass on `inputs` meets, in its order.

    What an activation gives goes to the linear layer that reads it; in a gated MLP that is the next one whose input is as
    large, and that gives back what the MLP was given.

    Args:
        inputs: an example; may be left out for models of transformers.

    Raises:
        ModelError: no MLP was met, or an example is needed.
    """
    probe = _Probe()
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
            handles.append(module.register_forward_pre_hook(probe.reads(name)))
        elif isinstance(module, SparseHidden) or (type(module).__module__ in HOMES and type(module).__name__ not in NEVER_OFF):
            handles.append(module.register_forward_hook(probe.fires(name)))
    try:
        with evaluating(model), torch.no_grad():
            call(model, example(model) if inputs is None else inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not probe.sites:
        raise ModelError(
            f"{type(model).__name__} has no MLP whose activation is a module of torch or transformers with a linear layer "
            "behind it. Write its activation as a module (nn.ReLU() in place of relu)."
        )
    return tuple(probe.sites)


def example(model: nn.Module) -> Inputs:
    """Something that a model of transformers can read. Raises ModelError for other models."""
    kind, config = getattr(model, "main_input_name", ""), getattr(model, "config", None)
    if kind == "input_ids":
        return {name: value for name, value in model.dummy_inputs.items() if isinstance(value, Tensor)}  # type: ignore[union-attr, operator]
    if kind == "pixel_values" and config is not None:
        side = config.image_size
        return torch.zeros(1, config.num_channels, *((side, side) if isinstance(side, int) else side))
    raise ModelError(f"What {type(model).__name__} reads is not known: give an example of its inputs.")


class _Probe:
    """Follows activations to the layers that read them, by their memory."""

    def __init__(self) -> None:
        self.sites: list[Site] = []
        self.before: tuple[Tensor, nn.Module] | None = None
        """The last linear layer, and what it read: held, so that no other tensor takes its place in memory."""
        self.waiting: tuple[str, nn.Module, Tensor, tuple[Tensor, nn.Module] | None] | None = None

    def fires(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            self.waiting = (name, module, output, self.before)

        return hook

    def reads(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            x = args[0]
            if self.waiting is not None and x.shape[-1] == self.waiting[2].shape[-1] and x.numel() == self.waiting[2].numel():
                where, activation, output, source = self.waiting
                direct = x.data_ptr() == output.data_ptr()
                beside = source is not None and x.data_ptr() == source[0].data_ptr()  # the other factor of a gated MLP
                back = source is not None and widths(module)[1] == widths(source[1])[0]
                if direct or (back and not beside):
                    self.sites.append(Site(where, activation, name, module, gated=not direct))
                    self.waiting = None
            self.before = (x, module)

        return hook
