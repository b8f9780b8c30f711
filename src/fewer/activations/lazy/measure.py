"""How lazy a model's neurons are (Li et al. 2022, arXiv 2210.06313): few hidden units of an MLP fire for a token."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fewer.activations.lazy.activity import THRESHOLDS, Activity, Tally
from fewer.activations.lazy.sites import Inputs, Site, call, find_sites
from fewer.errors import MeasureError
from fewer.measure.evaluating import evaluating


class LayerActivity(NamedTuple):
    """The hidden units of one MLP."""

    name: str
    """Of the linear layer that reads them."""
    activation: str
    """Class of the activation."""
    hidden: Activity
    """What the layer reads: the activation, in a gated MLP the product."""
    gate: Activity | None
    """The activation alone, in a gated MLP."""

    def to_dict(self) -> dict[str, Any]:
        gate = None if self.gate is None else self.gate.to_dict()
        return {"name": self.name, "activation": self.activation, "hidden": self.hidden.to_dict(), "gate": gate}


@dataclass(frozen=True)
class Activations:
    """What `measure` found. Printed, it is a table by layer."""

    layers: tuple[LayerActivity, ...]

    @property
    def density(self) -> float:
        """Mean over layers of the share of hidden units that are not zero for a token."""
        return fmean(layer.hidden.density for layer in self.layers)

    @property
    def highest(self) -> float:
        """Density of the layer where it is highest."""
        return max(layer.hidden.density for layer in self.layers)

    def show(self) -> None:
        print(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: density, and all numbers of each layer."""
        return {"density": self.density, "layers": [layer.to_dict() for layer in self.layers]}

    def __str__(self) -> str:
        rows = [
            ("layer", "units", "not 0", "gate > 0", "<= 0.01", "top 10% hold", "90% held by", "dead", "idle"),
            *self._rows(),
        ]
        wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = (
            "  ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, wide, strict=True))
            )
            for row in rows
        )
        return "\n".join(lines)

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for layer in self.layers:
            hidden = layer.hidden
            small = hidden.below.get(0.01)
            yield (
                layer.name,
                str(hidden.units),
                f"{hidden.density:.3f}",
                "-" if layer.gate is None else f"{layer.gate.positive:.3f}",
                "-" if small is None else f"{small:.3f}",
                f"{hidden.top_energy[0.1]:.3f}",
                f"{hidden.needed[0.9]:.3f}",
                str(hidden.dead),
                str(hidden.idle),
            )


def measure(model: nn.Module, inputs: Inputs, *, batch: int = 4, thresholds: Sequence[float] = THRESHOLDS) -> Activations:
    """Count what the hidden units of every MLP do, in evaluation mode.

    Exact zeros come from ReLU and its like alone; elsewhere read the threshold curves and the shares of the energy.
    Every position counts as a token: give inputs without padding.

    Args:
        inputs: token ids [windows, length], images, or a mapping of a model's arguments; the first axis is cut in batches.
        thresholds: sizes at which the curves are taken, above 0.

    Raises:
        ModelError: no MLP is found (`find_sites`).
        MeasureError: no inputs, or activations that are not finite.
    """
    if batch < 1 or any(not t > 0 for t in thresholds):
        raise MeasureError(f"batch {batch}, thresholds {tuple(thresholds)}: give at least 1, and sizes above 0.")
    parts = list(_parts(inputs, batch))
    if not parts:
        raise MeasureError("there are no inputs: give at least one sample.")
    sites = find_sites(model, next(_parts(inputs, 1)))
    hidden = {site.reader_name: Tally(site.units, thresholds) for site in sites}
    gates = {site.reader_name: Tally(site.units, thresholds) for site in sites if site.gated}
    handles = []
    for site in sites:
        counted = _counts(hidden[site.reader_name], site.reader_name)
        handles.append(site.reader.register_forward_pre_hook(lambda _, args, counted=counted: counted(args[0])))
        if site.gated:
            counted = _counts(gates[site.reader_name], site.name)
            handles.append(site.activation.register_forward_hook(lambda _, args, out, counted=counted: counted(out)))
    try:
        with evaluating(model), torch.inference_mode():
            for part in parts:
                call(model, part)
    finally:
        for handle in handles:
            handle.remove()
    return Activations(tuple(_layer(site, hidden, gates) for site in sites))


def _counts(tally: Tally, where: str) -> Callable[[Tensor], None]:
    return lambda h: tally.add(h, where)


def _layer(site: Site, hidden: Mapping[str, Tally], gates: Mapping[str, Tally]) -> LayerActivity:
    gate = gates[site.reader_name].activity() if site.gated else None
    return LayerActivity(site.reader_name, type(site.activation).__name__, hidden[site.reader_name].activity(), gate)


def _parts(inputs: Inputs, batch: int) -> Iterator[Inputs]:
    if isinstance(inputs, Tensor):
        yield from (part for part in inputs.split(batch) if len(part))
        return
    count = len(next(iter(inputs.values()), ()))
    for start in range(0, count, batch):
        yield {name: value[start : start + batch] for name, value in inputs.items()}
