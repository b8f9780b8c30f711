"""Layers: the named weights of any module that can be pruned, each seen as one [out, in] matrix."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewer.errors import ModelError, PatternError


@dataclass(frozen=True, eq=False)
class Layer:
    """One prunable weight. Everything scores and selects on its matrix; only this class knows how the module stores it."""

    name: str
    module: Any
    """Has a floating-point `weight`."""

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in) of the matrix; a convolution's kernel positions count as inputs."""
        weight = self.module.weight
        if self._transposed:
            return weight.shape[1], weight.shape[0]
        return weight.shape[0], weight[0].numel()

    @property
    def _transposed(self) -> bool:
        # transformers' Conv1D (GPT-2) keeps [in, out]; named by its class so that transformers need not be imported.
        return type(self.module).__name__ == "Conv1D"

    def matrix(self) -> Float[Tensor, "out in"]:
        """The weight as float32 [out, in]; a copy unless it is stored that way."""
        return self.as_matrix(self.module.weight.detach())

    def as_matrix(self, stored: Tensor) -> Float[Tensor, "out in"]:
        """A tensor in the layout of the module's weight (its gradient, say) as float32 [out, in]."""
        return (stored.t() if self._transposed else stored.flatten(1)).float()

    def write(self, matrix: Float[Tensor, "out in"]) -> None:
        """Put a matrix back in the module's own layout and precision."""
        weight = self.module.weight.detach()
        weight.copy_((matrix.t() if self._transposed else matrix).reshape(weight.shape))

    @property
    def view(self) -> tuple[Any, ...]:
        """How the module reads its input: layers of one view see the same rows of the same tensor."""
        if isinstance(self.module, nn.Conv1d | nn.Conv2d):
            conv = self.module
            return conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.padding_mode
        return ()

    def check_view(self) -> None:
        """Raise PatternError when the matrix multiplies no rows of inputs, so that a calibration walk has nothing to see."""
        advice = f'Use method="magnitude", or exclude="{self.name}".'
        if isinstance(self.module, nn.Embedding):
            raise PatternError(f"{self.name} is an embedding, which reads indices; calibrated scores need inputs. {advice}")
        if getattr(self.module, "groups", 1) != 1:
            raise PatternError(
                f"{self.name} is a convolution in {self.module.groups} groups, whose outputs see different inputs; calibrated "
                f"scores need one input. {advice}"
            )

    def as_stored(self, mask: Tensor) -> Tensor:
        """A mask over the matrix, in the shape of the module's own weight."""
        return (mask.t() if self._transposed else mask).reshape(self.module.weight.shape)

    def rows(self, x: Tensor) -> Float[Tensor, "tokens in"]:
        """A module input as rows that the matrix multiplies: one for each token, or for each output position of a convolution.

        Raises:
            PatternError: as `check_view`.
        """
        self.check_view()
        if isinstance(self.module, nn.Conv1d | nn.Conv2d):
            return self._patches(x)
        return x.reshape(-1, x.shape[-1]).float()

    def _patches(self, x: Tensor) -> Tensor:
        conv = self.module
        padded = nn.functional.pad(x.float(), conv._reversed_padding_repeated_twice, _padding_mode(conv))
        if isinstance(conv, nn.Conv1d):
            padded = padded.unsqueeze(-2)
            kernel, stride, dilation = (1, *conv.kernel_size), (1, *conv.stride), (1, *conv.dilation)
        else:
            kernel, stride, dilation = conv.kernel_size, conv.stride, conv.dilation
        columns = nn.functional.unfold(padded, kernel, dilation=dilation, stride=stride)
        return columns.transpose(1, 2).reshape(-1, columns.shape[1])


def _padding_mode(conv: Any) -> str:
    return "constant" if conv.padding_mode == "zeros" else conv.padding_mode


def find_layers(
    model: nn.Module,
    include: str | Iterable[str] = ("*",),
    exclude: str | Iterable[str] = (),
    embeddings: bool = False,
) -> dict[str, Layer]:
    """The prunable layers of `model` by dotted name, in the order of definition.

    Linear, Conv1d, Conv2d and transformers' Conv1D; embeddings when asked for. A model's output head stays out unless
    `include` names it, and so does a weight that is tied to one already taken.

    Args:
        include, exclude: a shell pattern over dotted names (`*.down_proj`), or several.

    Raises:
        ModelError: when nothing is left; the message lists what there was. Also for a weight that is computed from others (a
            held mask, weight norm): what is written to it would be lost.
    """
    include, exclude = ((names,) if isinstance(names, str) else tuple(names) for names in (include, exclude))
    head = _output_head(model)
    taken: set[int] = set()
    found, seen_names = {}, []
    for name, module in model.named_modules():
        if not _prunable(module, embeddings):
            continue
        seen_names.append(name)
        wanted = matches(name, include) and not matches(name, exclude)
        if module is head and not any(name == pattern for pattern in include):
            wanted = False
        if wanted and not isinstance(module.weight, nn.Parameter):
            raise ModelError(
                f"{name} computes its weight (a held mask, weight norm, ...), so that pruning it would be lost. Make it plain "
                f'first (`release` for masks), or exclude="{name}".'
            )
        key = id(module.weight)
        if wanted and key not in taken:
            taken.add(key)
            found[name] = Layer(name, module)
    if not found:
        some = ", ".join(seen_names[:6]) + (" ..." if len(seen_names) > 6 else "")
        raise ModelError(
            f"no prunable layer is left in {type(model).__name__} with include={list(include)}, exclude={list(exclude)}; "
            + (f"it has {some}." if seen_names else "it has no linear or convolution layer.")
        )
    return found


def _output_head(model: Any) -> nn.Module | None:
    return model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None


def _prunable(module: Any, embeddings: bool) -> bool:
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) or type(module).__name__ == "Conv1D":
        return isinstance(getattr(module, "weight", None), Tensor) and module.weight.is_floating_point()
    return embeddings and isinstance(module, nn.Embedding)


def matches(name: str, patterns: str | Iterable[str]) -> bool:
    """Does a dotted name match a shell pattern, or one of several?"""
    return any(fnmatchcase(name, pattern) for pattern in ((patterns,) if isinstance(patterns, str) else patterns))


def check_finite(layers: Iterable[Layer]) -> None:
    """Raise ModelError when a weight is NaN or infinite, naming the layer: before anything is changed."""
    for layer in layers:
        total = layer.module.weight.detach().sum(dtype=torch.float32)
        if not total.isfinite() and not layer.module.weight.isfinite().all():
            bad = int((~layer.module.weight.isfinite()).sum())
            raise ModelError(f"{layer.name} has {bad} weights that are NaN or infinite; nothing was changed. Reload the model.")
