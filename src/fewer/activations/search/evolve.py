"""How much of each layer's budget goes to inputs: an evolutionary search (Zhang et al. 2025, arXiv 2504.19449, section 3.3)."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewer.activations.calibrate import calibrate
from fewer.activations.installing import PerLayer, install, of_layer, restore
from fewer.activations.layers import batches_of
from fewer.activations.methods import RSparse
from fewer.activations.search.loss import Loss, language_loss, measured
from fewer.core import stream
from fewer.errors import BudgetError, ResumeError, SearchError
from fewer.files import write_whole

Progress = Callable[[int, int, float], None]
"""Called after each evaluation with (done, in all at most, best loss so far)."""


@dataclass(frozen=True)
class Evolution:
    """Sizes of the search: the authors gave none, these are ours."""

    population: int = 16
    generations: int = 10
    spread: float = 0.05
    """Standard deviation of a mutation."""
    elite: int = 4
    """The best so many live on, and each child is one of them, mutated."""
    start: float = 0.95
    """rho of the first individual, from which the first generation is mutated. Another one has rho = 1 everywhere."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.elite < self.population or self.generations < 1 or self.spread <= 0 or not 0 <= self.start <= 1:
            raise SearchError(
                f"population {self.population}, elite {self.elite}, generations {self.generations}, spread {self.spread}, start"
                f" {self.start}: give 1 <= elite < population, at least 1 generation, a spread above 0, a start in [0, 1]."
            )


@dataclass(frozen=True)
class FoundRho:
    """What the search found."""

    rho: dict[str, float]
    """First name of each site -> its rho: what `r_sparse(rho=...)` takes."""
    loss: float
    """On the calibration data, all tokens sparse."""
    uniform: float
    """The same with `start` everywhere."""
    without: float
    """The same with rho = 1 everywhere: no low-rank copy."""
    history: tuple[float, ...]
    """Best loss after each generation."""
    evaluations: int


def search_rho(
    model: nn.Module,
    sparsity: PerLayer = 0.5,
    calibration: Any = None,
    *,
    evolution: Evolution = Evolution(),
    scaled: bool = True,
    include: str | Iterable[str] = ("*",),
    exclude: str | Iterable[str] = (),
    together: bool = False,
    loss: Loss | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> FoundRho:
    """One rho for each site at a fixed sparsity, by the loss on the calibration data. The model is dense again afterwards.

    The loss is on data that were searched on: measure what was found on other text.

    Args:
        calibration: token ids [sequences, length]; thresholds and fitness are from them.
        loss: fitness in place of the language model's loss on the calibration data.
        folder: where losses are kept as they come; a search that is cut off goes on from there.

    Raises:
        ResumeError: the folder holds another search.
        SearchError: a loss is NaN.
        BudgetError, CalibrationError, ModelError: as `sparsify`.
    """
    restore(model)
    fitness = loss or language_loss(calibration)
    calibrated = calibrate(model, RSparse(scaled=scaled), calibration, include, exclude, together)
    sites = calibrated.sites
    densities = [1 - of_layer(sparsity, site.names[0], "sparsity") for site in sites]
    if not all(0 < density <= 1 for density in densities):
        raise BudgetError(f"sparsity must lie in [0, 1), not {sparsity!r}.")
    about = [evolution.__dict__, densities, scaled, [site.names for site in sites], _digest(batches_of(calibration), model)]
    kept = _Kept(None if folder is None else Path(folder), hashlib.sha256(repr(about).encode()).hexdigest())

    def settle(rho: Tensor) -> None:
        for site, value, density in zip(sites, rho.tolist(), densities, strict=True):
            site.settle(RSparse(rho=value, scaled=scaled), density)

    settle(torch.ones(len(sites)))
    install(model, calibrated, kernel=False)
    done: list[float] = []

    def evaluate(rho: Tensor) -> float:
        def now() -> float:
            settle(rho)
            return measured(model, fitness)

        done.append(kept(now))
        if progress is not None:
            progress(len(done), evolution.population + evolution.generations * children, min(done))
        return done[-1]

    draws = stream(evolution.seed, "evolution")

    def mutated(rho: Tensor) -> Tensor:
        return (rho + evolution.spread * torch.randn(len(rho), generator=draws)).clamp_(0, 1)

    children = evolution.population - evolution.elite
    start = torch.full((len(sites),), evolution.start)
    first = [start, torch.ones(len(sites)), *(mutated(start) for _ in range(evolution.population - 2))]
    try:
        ranked = [(evaluate(rho), rho) for rho in first[: evolution.population]]
        uniform, without = ranked[0][0], ranked[1][0]
        history = []
        for _ in range(evolution.generations):
            ranked = sorted(ranked, key=lambda pair: pair[0])[: evolution.elite]
            history.append(ranked[0][0])
            parents = torch.randint(evolution.elite, (children,), generator=draws).tolist()
            ranked += [(evaluate(rho), rho) for rho in (mutated(ranked[parent][1]) for parent in parents)]
    finally:
        restore(model)
    best, rho = min(ranked, key=lambda pair: pair[0])
    found = {site.names[0]: round(value, 6) for site, value in zip(sites, rho.tolist(), strict=True)}
    return FoundRho(found, best, uniform, without, (*history, best), len(done))


class _Kept:
    """Losses in the order in which they were found, on disk; the search's own order never varies."""

    def __init__(self, folder: Path | None, key: str):
        self._path, self._key, self._at = None if folder is None else folder / "rho-search.json", key, 0
        self._losses: list[float] = []
        if self._path is not None and self._path.exists():
            try:
                plain = json.loads(self._path.read_text(encoding="utf-8"))
                same, self._losses = plain["key"] == key, [float(loss) for loss in plain["losses"]]
            except (ValueError, KeyError, TypeError) as error:
                raise ResumeError(f"{self._path} is damaged ({error}). Remove it to search anew.") from None
            if not same:
                raise ResumeError(f"{self._path} is of another search (model, data or settings). Give another folder.")

    def __call__(self, evaluate: Callable[[], float]) -> float:
        if self._at == len(self._losses):
            self._losses.append(evaluate())
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._path, json.dumps({"key": self._key, "losses": self._losses}))
        self._at += 1
        return self._losses[self._at - 1]


def _digest(batches: Any, model: nn.Module) -> str:
    total = hashlib.sha256()
    for batch in batches:
        for tensor in batch.values() if isinstance(batch, dict) else [batch] if isinstance(batch, Tensor) else batch:
            total.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    for parameter in model.parameters():
        total.update(repr(float(parameter.detach().sum(dtype=torch.float64))).encode())
    return total.hexdigest()
