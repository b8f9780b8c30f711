"""`fewer.prune`: one method, one pattern and one density for a whole model."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from fewer.core import Allocation, Density, Pattern, Selection, Selections, method, parse_allocation, parse_pattern
from fewer.core.allocation import ByMass, Global, Uniform
from fewer.core.select import budget_of
from fewer.errors import CalibrationError, MethodError, ModelError
from fewer.weights.gradients import Gradient, Loss, gather_gradients, language_model_loss
from fewer.weights.layers import Layer, check_finite, find_layers
from fewer.weights.pruner import Pruner
from fewer.weights.seen import Seen
from fewer.weights.walk import Batch, Mode, walk


@dataclass(frozen=True)
class PrunedLayer:
    """What happened to one layer."""

    name: str
    shape: tuple[int, int]
    """(out, in) of its matrix."""
    density: float
    """Share of the weights kept."""
    seconds: float
    """Scoring, selecting and applying; the walk's forward not counted."""
    report: Mapping[str, float]
    """What the method says of it (`Pruner.report`)."""


@dataclass(frozen=True)
class Pruning:
    """How a model was pruned; `model.fewer` holds it."""

    configuration: dict[str, Any]
    """Method with all parameters, density, pattern, allocation, mode, tokens."""
    selections: Selections
    """By layer, in the shape of the module's own weight."""
    layers: tuple[PrunedLayer, ...]
    seconds: float

    @property
    def report(self) -> dict[str, float]:
        """By name, the mean over layers of what the method says of each (of `dsnot`: output errors before and after)."""
        names = dict.fromkeys(name for layer in self.layers for name in layer.report)
        return {name: fmean(layer.report[name] for layer in self.layers if name in layer.report) for name in names}


Watch = Callable[[Layer, Seen, Tensor, Tensor, Selection], None]
"""Called for every layer with what was seen, the weights before and after, and the selection (all as matrices)."""


def prune(
    model: nn.Module,
    pruner: str | Pruner = "wanda",
    *,
    density: float = 0.5,
    pattern: str | Pattern | None = None,
    calibration: Tensor | Batch | Sequence[Batch] | None = None,
    allocation: str | Allocation | None = None,
    include: str | Iterable[str] = ("*",),
    exclude: str | Iterable[str] = (),
    embeddings: bool = False,
    mode: Mode = "layer",
    loss: Loss = language_model_loss,
    seed: int | None = None,
    watch: Watch | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> nn.Module:
    """Prune `model` in place and return it; `model.fewer` says how and holds the selections.

    Everything that can be refused is refused before the first weight is changed.

    Args:
        model: any module with linear or convolution layers; a Hugging Face model keeps its output head dense.
        pruner: a method's slug or a `Pruner`; "random:SLUG" is its random twin, "dsnot:magnitude" is built on another.
        density: share of the weights KEPT, in [0, 1].
        pattern: such as "row", "layer", "global", "2:4", "block:16x16"; the method's own when None, and so for `seed`.
        calibration: token ids [sequences, length], a mapping of keywords, or a sequence of batches (see `walk`).
        allocation: how the density is shared over layers: "uniform", "uniform+", "erk", "erk+", "global", "mass".
        include, exclude: one or more shell patterns over layer names ("*.down_proj").
        embeddings: prune embeddings too.
        mode: see `walk`.
        loss: for gradient scores; f(model, batch) -> scalar.
        progress: called with (layers done, layers in all).

    Raises:
        MethodError, PatternError, BudgetError, ModelError, CalibrationError: see their docstrings; each says what to do.
    """
    started = time.perf_counter()
    pruner = resolve(pruner, pattern, seed)
    layers = find_layers(model, include, exclude, embeddings)
    allocation = _allocation(allocation, pruner)
    batches = as_batches(calibration)
    check(pruner, layers, density, batches)
    run = _Walker(model, pruner, layers, batches, mode, loss)
    shapes = {name: tuple(layer.module.weight.shape) for name, layer in layers.items()}  # ERK counts a kernel's sides
    densities = allocation.densities(shapes, density, run.scores(allocation))

    selections = Selections.reserved(shapes)
    reports: list[PrunedLayer] = []

    def visit(layer: Layer, seen: Seen) -> None:
        begun = time.perf_counter()
        before = layer.matrix()
        pruned = pruner.prune(before, seen, Density(densities[layer.name]))
        seconds = time.perf_counter() - begun
        if watch is not None:
            watch(layer, seen, before, pruned.weight, pruned.selection)
        layer.write(pruned.weight)
        selections.add(layer.name, Selection(layer.as_stored(pruned.selection.mask), pruned.selection.pattern))
        reports.append(PrunedLayer(layer.name, layer.shape, pruned.selection.density, seconds, pruned.report))
        if progress is not None:
            progress(len(reports), len(layers))

    run.visit(visit)
    configuration = {
        **pruner.configuration(),
        "seed": pruner.seed,
        "density": density,
        "pattern": str(pruner.pattern),
        "allocation": type(allocation).__name__,
        "mode": mode,
        "layers": len(layers),
        "calibration_batches": len(batches),
    }
    model.fewer = Pruning(configuration, selections, tuple(reports), time.perf_counter() - started)  # type: ignore[assignment]
    return model


@dataclass(frozen=True)
class _Walker:
    """Brings every layer to a visitor together with what the method needs to have seen of it."""

    model: nn.Module
    pruner: Pruner
    layers: Mapping[str, Layer]
    batches: Sequence[Batch]
    mode: Mode
    loss: Loss

    def visit(self, visit: Callable[[Layer, Seen], None]) -> None:
        if issubclass(self.pruner.gathers, Gradient):
            gathered = gather_gradients(self.model, self.layers, self.batches, self.loss)
            for name, layer in self.layers.items():
                visit(layer, gathered.pop(name))
        elif self.pruner.walks:
            walk(self.model, self.layers, self.batches, self.pruner.gathers, visit, self.mode)
        else:
            for name, layer in self.layers.items():
                visit(layer, Seen(name, layer.shape[1]))

    def scores(self, allocation: Allocation) -> dict[str, Tensor] | None:
        """Scores of the dense model, for an allocation that pools them; all are held at once."""
        if not isinstance(allocation, Global | ByMass):
            return None
        scores: dict[str, Tensor] = {}
        self.visit(lambda layer, seen: scores.update({layer.name: self.pruner.score(layer.matrix(), seen)}))
        return scores


def resolve(pruner: str | Pruner, pattern: str | Pattern | None = None, seed: int | None = None) -> Pruner:
    """The pruner that a slug names, with pattern and seed put in. Raises MethodError for a method that prunes no weights."""
    import fewer.weights.methods  # noqa: F401 - registers them

    found = method(pruner) if isinstance(pruner, str) else pruner
    if not isinstance(found, Pruner):
        raise MethodError(f"{pruner} does not prune the weights of a trained model. `fewer.methods()` says what does.")
    changes: dict[str, Any] = {}
    if pattern is not None:
        changes["pattern"] = parse_pattern(pattern)
    if seed is not None:
        changes["seed"] = seed
    return dataclasses.replace(found, **changes)


def as_batches(calibration: Tensor | Batch | Sequence[Batch] | None) -> list[Batch]:
    """One batch for each sequence of a tensor of token ids [sequences, length]; a mapping is one batch; others as they are."""
    if calibration is None:
        return []
    if isinstance(calibration, Mapping):
        return [calibration]
    if isinstance(calibration, Tensor):
        if calibration.ndim < 2 and calibration.numel():
            raise CalibrationError(
                f"calibration data are [sequences, length], not of shape {tuple(calibration.shape)}. One sequence is x[None]."
            )
        return list(calibration.split(1)) if calibration.numel() else []
    return list(calibration)


def check(pruner: Pruner, layers: Mapping[str, Layer], density: float, batches: Sequence[Batch]) -> None:
    """Refuse now what would fail halfway: a bad density, a pattern that does not fit, weights or data that are not finite."""
    budget = Density(density)
    for name, layer in layers.items():
        pruner.pattern.fit(layer.shape, name)
    if pruner.pattern.density is not None and not budget.whole:
        budget_of(pruner.pattern, budget)
    check_finite(layers.values())
    if pruner.walks and not batches:
        raise CalibrationError(
            f"{pruner.slug} needs calibration data and got none. Pass calibration=token ids [sequences, length], "
            'or use a method without data: "magnitude", "random".'
        )
    if pruner.walks and not issubclass(pruner.gathers, Gradient):
        for layer in layers.values():
            layer.check_view()
    for number, batch in enumerate(batches):
        tensors = [batch] if isinstance(batch, Tensor) else batch.values() if isinstance(batch, Mapping) else batch
        for tensor in tensors:
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and not tensor.isfinite().all():
                raise CalibrationError(f"calibration batch {number} holds NaN or infinite values; nothing was changed.")


def _allocation(given: str | Allocation | None, pruner: Pruner) -> Allocation:
    if given is None:
        return Global() if pruner.pattern.pooled else Uniform()
    allocation = parse_allocation(given)
    if pruner.pattern.density is not None and not isinstance(allocation, Uniform):
        raise ModelError(f'{pruner.pattern} keeps the same share of every layer; allocation="{given}" contradicts it.')
    return allocation
