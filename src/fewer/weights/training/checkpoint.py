"""The state of masked training: what is written, and what is checked before anything of it is put back."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fewer.errors import ResumeError, SelectionError
from fewer.weights.training.moment import Masks, packed, unpacked
from fewer.weights.training.record import Record


class Restored(NamedTuple):
    """What masked training goes on with."""

    step: int
    """Optimiser steps done."""
    masks: Masks
    record: Record


def state_of(
    configuration: Mapping[str, Any], step: int, masks: Masks, record: Record, weights: Mapping[str, Tensor]
) -> dict[str, Any]:
    """As tensors (masks at one bit an entry) and plain values."""
    return {
        "configuration": dict(configuration),
        "step": step,
        "masks": packed(masks),
        "record": record.state_dict(),
        "nonzero": {name: int(weight.count_nonzero()) for name, weight in weights.items()},
    }


def restored(
    state: Mapping[str, Any],
    configuration: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    model: nn.Module,
    optimizer: Optimizer,
) -> Restored:
    """Check the state, load model and optimiser where it holds theirs, and say what to go on with.

    Raises:
        ResumeError: see `MaskedTraining.load_state_dict`; neither model nor optimiser was changed.
    """
    try:
        _check_configuration(state["configuration"], configuration)
        masks, record = unpacked(state["masks"], weights), Record.from_state(state["record"], weights)
        step, nonzero = int(state["step"]), state["nonzero"]
        if "model" in state:
            _check_model(state["model"], model)
            _check_optimizer(state["optimizer"], optimizer)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(
                {"state": state["optimizer"]["state"], "param_groups": state["optimizer"]["param_groups"]}
            )
        else:
            _check_weights(nonzero, masks, weights)
    except (LookupError, TypeError, AttributeError, SelectionError) as error:
        raise ResumeError(f"the state is damaged or not one of masked training: {error!r}.") from None
    return Restored(step, masks, record)


def _check_configuration(was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if was["layers"] != now["layers"]:
        odd = [name for name in {**was["layers"], **now["layers"]} if was["layers"].get(name) != now["layers"].get(name)]
        shown = ", ".join(f"{name} ({_shape(was, name)} there, {_shape(now, name)} here)" for name in odd[:3])
        raise ResumeError(
            f"the state is of another model or other layers: {shown}{' ...' if len(odd) > 3 else ''}. Resume with the same "
            "model, include= and exclude=."
        )
    for key in {**was, **now}:
        if was.get(key) != now.get(key):
            raise ResumeError(
                f"the state was saved with another configuration: its {key} is {was.get(key)}, and here it is {now.get(key)}. "
                "Attach with what it was saved with, or start anew without it."
            )


def _shape(configuration: Mapping[str, Any], name: str) -> str:
    shape = configuration["layers"].get(name)
    return "absent" if shape is None else "x".join(map(str, shape))


def _check_model(saved: Mapping[str, Any], model: nn.Module) -> None:
    here = model.state_dict()
    for name in {**saved, **here}:
        was, now = (getattr(of.get(name), "shape", None) for of in (saved, here))
        if was != now or (name in saved) != (name in here):
            raise ResumeError(f"the state is of another model: its {name} is of shape {was}, and the model's of {now}.")


def _check_optimizer(saved: Mapping[str, Any], optimizer: Optimizer) -> None:
    was, now = ([len(group["params"]) for group in groups] for groups in (saved["param_groups"], optimizer.param_groups))
    if (saved["is"], was) != (type(optimizer).__name__, now):
        raise ResumeError(
            f"the state was saved with {saved['is']} over groups of {was} parameters, and here is {type(optimizer).__name__} "
            f"over {now}."
        )


def _check_weights(nonzero: Mapping[str, int], masks: Masks, weights: Mapping[str, Tensor]) -> None:
    """Are these the weights that the masks were saved with? Counts tell a model that was never loaded, or masked since."""
    for name, weight in weights.items():
        now, kept = int(weight.count_nonzero()), int(torch.where(masks[name], weight.detach(), 0).count_nonzero())
        if not now == kept == nonzero[name]:
            raise ResumeError(
                f"{name} is not as it was saved with these masks: {nonzero[name]} of its weights were not zero, all of them "
                f"kept; now {now} are, {kept} of them kept. Load the model first, then attach with resume=."
            )
