"""Which form for which layer: measured, not guessed."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from fewer.errors import ModelError
from fewer.kernels.dispatch import path_on
from fewer.kernels.forms import FORMS, Packed, pack, settle
from fewer.weights.accelerate.kinds import Kind
from fewer.weights.accelerate.linear import FastLinear
from fewer.weights.accelerate.race import ROWS, fast, race, stacked
from fewer.weights.accelerate.report import Acceleration, Choice
from fewer.weights.accelerate.shared_inputs import shared_inputs
from fewer.weights.layers import matches
from fewer.weights.walk import Batch


@torch.inference_mode(False)  # what is made in inference mode could not be trained or written to later
def accelerate(
    model: nn.Module,
    *,
    batch: int = 1,
    include: str | Iterable[str] = ("*",),
    exclude: str | Iterable[str] = (),
    keep_dense: bool = True,
    forms: Sequence[str] | None = None,
    example: Batch | None = None,
    seconds: float = 0.6,
) -> nn.Module:
    """Replace linear layers by ones that multiply from the fastest compact form, and return `model`.

    Layers of one shape and about one density are measured together: torch's own product and all forms that fit, interleaved,
    over these layers one after the other, so that weights are as cold as in a forward pass. A layer for which no form is surely
    faster stays as it is: no model becomes slower. `model.acceleration` says what was chosen and why; `decelerate` undoes it.

    Args:
        batch: rows of input (sequences being decoded at once) for which the choice is made. Other numbers of rows go through
            the form as far as it was found faster there too, and through torch's dense product beyond.
        include, exclude: shell patterns over layer names.
        keep_dense: keep the dense weights beside the packed ones: more memory, and large batches as fast as before.
        forms: names of the forms that may be chosen ("2:4", "bitmask", "sliced", "strips", "dense"); all when None.
        example: what the model can be called with, to find layers that read the same input (query, key and value, say), which
            are then multiplied in one go; a Hugging Face model knows one itself.
        seconds: about how long each kind of layer is measured.

    Raises:
        ModelError: an unknown form, no linear layer is left, one is neither on the CPU nor on a GPU, or `batch` is none of
            1, 2, 4, 8, 16 (on a GPU also 64, 256, 1024).
    """
    if unknown := set(forms or ()) - set(FORMS):
        raise ModelError(f"no form is called {', '.join(sorted(unknown))}; allowed: {', '.join(FORMS)}.")
    decelerate(model)
    layers = _linear_layers(model, include, exclude)
    devices = sorted({layer.weight.device.type for layer in layers.values()})
    allowed = [rows for rows in ROWS[devices[0]] if all(rows in ROWS[device] for device in devices)]
    if batch not in allowed:
        raise ModelError(f"accelerate cannot choose for batch={batch}; allowed: {', '.join(map(str, allowed))}.")
    names = shared_inputs(model, layers, example if example is not None else getattr(model, "dummy_inputs", None))
    kinds: dict[Kind, list[list[str]]] = {}
    for group in names:
        kinds.setdefault(Kind.of(stacked([layers[name] for name in group]), forms), []).append(group)
    choices: dict[str, Choice] = {}
    made: list[Packed] = []
    for kind, alike in kinds.items():
        outcome = race(kind, [[layers[name] for name in group] for group in alike], batch, seconds)
        for group in alike:
            bytes_ = dense = kind.dtype.itemsize * kind.shape[0] * kind.shape[1]
            if outcome.form != "torch":
                members = [layers[name] for name in group]
                packed = pack(stacked(members), outcome.form)
                bytes_ = packed.nbytes
                made.append(packed)
                for name, layer in zip(
                    group, fast(members, packed, outcome.largest, keep_dense, outcome.smallest), strict=True
                ):
                    model.set_submodule(name, layer)
            choices[group[0]] = Choice(tuple(group), kind.shape, kind.density, *outcome, dense_bytes=dense, bytes=bytes_)
    settle(made)
    model.acceleration = Acceleration(  # type: ignore[assignment]
        tuple(choices[name] for name in layers if name in choices),
        batch,
        ", ".join(map(path_on, devices)),
        torch.get_num_threads(),
    )
    return model


@torch.inference_mode(False)
def decelerate(model: nn.Module) -> nn.Module:
    """Put ordinary linear layers back. Returns `model`."""
    for name, module in list(model.named_modules()):
        if isinstance(module, FastLinear):
            model.set_submodule(name, module.plain())
    if hasattr(model, "acceleration"):
        del model.acceleration
    return model


def _linear_layers(model: nn.Module, include: str | Iterable[str], exclude: str | Iterable[str]) -> dict[str, nn.Linear]:
    found = {
        name: module
        for name, module in model.named_modules()
        if name and type(module) is nn.Linear and matches(name, include) and not matches(name, exclude)
    }
    if not found:
        raise ModelError(
            f"{type(model).__name__} holds no linear layer to accelerate with include={include!r}, exclude={exclude!r}."
        )
    usable = {device for form in FORMS.values() for device in form.devices}
    for name, module in found.items():
        if module.weight.device.type not in usable:
            raise ModelError(
                f"{name} is on {module.weight.device}; move the model to {' or '.join(sorted(usable))}, or exclude it."
            )
    return found
