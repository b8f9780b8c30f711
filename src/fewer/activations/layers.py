"""The linear layers of a model, and which of them read the same input."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from fewer.errors import CalibrationError, ModelError
from fewer.measure.evaluating import evaluating

Batch = Tensor | Mapping[str, Tensor] | Sequence[Tensor]
"""What a model is called with: a tensor, keywords, or positional arguments."""


def linear_layers(
    model: nn.Module, include: str | Iterable[str] = ("*",), exclude: str | Iterable[str] = ()
) -> dict[str, nn.Linear]:
    """By dotted name, in order of definition; never the output head.

    Raises:
        ModelError: when none is left, or a weight is NaN or infinite.
    """
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None  # type: ignore[operator]
    found = {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Linear and module is not head and _named(name, include) and not _named(name, exclude)
    }
    if not found:
        raise ModelError(
            f"{type(model).__name__} holds no linear layer (but its head) with include={include!r}, exclude={exclude!r}."
        )
    for name, module in found.items():
        if not bool(module.weight.detach().sum(dtype=torch.float64).isfinite()):
            raise ModelError(f"{name} has weights that are NaN or infinite; nothing was changed. Reload the model.")
    return found


def shared_inputs(model: nn.Module, layers: Mapping[str, nn.Linear], batch: Batch) -> list[list[str]]:
    """The names in groups: layers called one after another with one tensor that was not written to in between.

    Raises:
        CalibrationError: a layer is never called. One that is called twice is a group of its own.
    """
    calls: list[tuple[str, Tensor, int]] = []

    def noting(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, args: calls.append((name, args[0], -1 if args[0].is_inference() else args[0]._version))

    watch(model, {layer: noting(name) for name, layer in layers.items()}, [batch])
    often = [name for name, _, _ in calls]
    if missing := [name for name in layers if name not in often]:
        raise CalibrationError(
            f"{len(missing)} layers were never reached by the calibration data, such as {missing[0]}. Exclude them."
        )
    groups: list[list[str]] = []
    last: tuple[Tensor | None, int] = (None, 0)
    for name, x, version in calls:
        if often.count(name) > 1:
            if [name] not in groups:
                groups.append([name])
            last = (None, 0)
            continue
        if x is last[0] and version == last[1]:
            groups[-1].append(name)
        else:
            groups.append([name])
        last = (x, version)
    return groups


@torch.no_grad()
def watch(
    model: nn.Module, hooks: Mapping[nn.Module, Callable[..., Any]], batches: Sequence[Batch], after: bool = False
) -> None:
    """Run the batches with a hook before (or after) some modules; dropout rests."""
    handles = [
        module.register_forward_hook(hook) if after else module.register_forward_pre_hook(hook)
        for module, hook in hooks.items()
    ]
    try:
        with evaluating(model):
            for batch in batches:
                call(model, batch)
    finally:
        for handle in handles:
            handle.remove()


def call(model: nn.Module, batch: Batch) -> Any:
    """Call a model with what a batch holds. A language model's cache is left out: nothing is decoded."""
    known: dict[str, Any] = {"use_cache": False} if hasattr(getattr(model, "config", None), "use_cache") else {}
    if isinstance(batch, Tensor):
        return model(batch, **known)
    return model(**{**known, **batch}) if isinstance(batch, Mapping) else model(*batch, **known)


def batches_of(calibration: Any) -> list[Batch]:
    """One batch a sequence of a tensor of token ids; anything else is a sequence of batches already.

    Raises:
        CalibrationError: nothing is given, or values are NaN or infinite.
    """
    if calibration is None or (hasattr(calibration, "__len__") and not len(calibration)):
        raise CalibrationError(
            "the calibration data are empty. Give token ids [sequences, length], some thousand tokens, or a list of batches."
        )
    if isinstance(calibration, Tensor):
        if not calibration.numel():
            raise CalibrationError(f"the calibration data are empty: {tuple(calibration.shape)}.")
        found = list(calibration.split(1)) if not calibration.is_floating_point() else [calibration]
    else:
        found = [calibration] if isinstance(calibration, Mapping) else list(calibration)
    for batch in found:
        for tensor in batch.values() if isinstance(batch, Mapping) else [batch] if isinstance(batch, Tensor) else batch:
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise CalibrationError("the calibration data hold NaN or infinite values; no layer was changed.")
    return found


def _named(name: str, patterns: str | Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in ((patterns,) if isinstance(patterns, str) else patterns))
