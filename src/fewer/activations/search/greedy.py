"""How much each layer drops at a given mean: greedily, a step at a time, where it costs least for what it spares."""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fewer.activations.calibrate import Calibrated, calibrate
from fewer.activations.installing import install, restore
from fewer.activations.layers import Batch, batches_of, call
from fewer.activations.method import InputMethod
from fewer.activations.methods import TEAL
from fewer.activations.report import on_all_tokens
from fewer.activations.search.loss import Loss, language_loss, measured
from fewer.activations.site import Site
from fewer.errors import BudgetError, SearchError
from fewer.measure.evaluating import evaluating

By = Literal["block", "kind"]
_FULL = 1e-9  # sparsities within this are equal


def search_sparsity(
    model: nn.Module,
    sparsity: float = 0.5,
    calibration: Any = None,
    *,
    by: By = "block",
    method: InputMethod | None = None,
    step: float = 0.05,
    most: float = 0.95,
    include: str | Iterable[str] = ("*",),
    exclude: str | Iterable[str] = (),
    loss: Loss | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Name of each layer -> its sparsity; their mean over the weights is `sparsity`. The model is dense again afterwards.

    Raised is, step by step, the sparsity whose next step costs least for each weight that it spares. Costs are taken again only
    where they come first in line (they rise with sparsity, so that others are higher still).

    Args:
        by: "block": within each transformer block by itself, all of one sparsity, by the squared error of the block's output on
            its dense input (as TEAL, Liu et al. 2024, arXiv 2408.14690, algorithm 1). "kind": one sparsity for all layers of
            one name (all `down_proj`), by the loss of the model.
        method: whose scores; TEAL's by default.
        step: of one layer's sparsity.
        most: no layer drops more.
        loss: for "kind", in place of the language model's loss on the calibration data.
        progress: called with (blocks or steps done, of so many).

    Raises:
        BudgetError: sparsity outside [0, most], or step outside (0, most].
        SearchError: an unknown `by`.
        CalibrationError, ModelError: as `sparsify`.
    """
    if not 0 < step <= most < 1 or not 0 <= sparsity <= most:
        raise BudgetError(
            f"sparsity {sparsity}, step {step}, most {most}: give 0 <= sparsity <= most < 1 and 0 < step <= most."
        )
    if by not in ("block", "kind"):
        raise SearchError(f'by="{by}" is unknown; allowed: block, kind.')
    restore(model)
    fitness = (loss or language_loss(calibration)) if by == "kind" else None
    chosen = method or TEAL()
    calibrated = calibrate(model, chosen, calibration, include, exclude)
    for site in calibrated.sites:
        site.settle(chosen, 1.0)
    install(model, calibrated, kernel=False)
    try:
        if fitness is not None:
            return _by_kind(model, calibrated, chosen, fitness, sparsity, step, most, progress)
        return _by_block(model, calibrated, chosen, batches_of(calibration), sparsity, step, most, progress)
    finally:
        restore(model)


def raised(
    sizes: Mapping[str, int], cost: Callable[[Mapping[str, float]], float], sparsity: float, step: float, most: float
) -> dict[str, float]:
    """Greedy steps until the mean over `sizes` is `sparsity`; the last step is as short as is needed."""
    now = dict.fromkeys(sizes, 0.0)
    left = sparsity * sum(sizes.values())
    base = cost(now)

    def priced(name: str) -> tuple[float, float, float]:
        """(cost for each weight spared, cost, sparsity) of its next step."""
        target = min(now[name] + step, most, now[name] + left / sizes[name])
        total = cost({**now, name: target})
        return (total - base) / ((target - now[name]) * sizes[name]), total, target

    queue = [(*priced(name), name, 0) for name in sizes] if left > _FULL else []
    heapq.heapify(queue)
    steps = 0
    while left > _FULL * sum(sizes.values()) and queue:
        _, total, target, name, made = heapq.heappop(queue)
        if made != steps:
            heapq.heappush(queue, (*priced(name), name, steps))
            continue
        left -= (target - now[name]) * sizes[name]
        now[name], base = target, total
        steps += 1
        if now[name] < most - _FULL and left > _FULL * sum(sizes.values()):
            heapq.heappush(queue, (*priced(name), name, steps))
    return now


def _by_kind(
    model: nn.Module,
    calibrated: Calibrated,
    method: InputMethod,
    loss: Loss,
    sparsity: float,
    step: float,
    most: float,
    progress: Callable[[int, int], None] | None,
) -> dict[str, float]:
    kinds: dict[str, list[Site]] = {}
    for site in calibrated.sites:
        kinds.setdefault(site.names[0].rpartition(".")[2], []).append(site)
    sizes = {kind: sum(site.shape[0] * site.shape[1] for site in sites) for kind, sites in kinds.items()}
    reached = 0.0

    def cost(now: Mapping[str, float]) -> float:
        nonlocal reached
        for kind, sites in kinds.items():
            for site in sites:
                site.settle(method, 1 - now[kind])
        reached = max(reached, sum(now[kind] * sizes[kind] for kind in kinds) / sum(sizes.values()))
        if progress is not None:
            progress(round(100 * reached), round(100 * sparsity))
        return measured(model, loss)

    found = raised(sizes, cost, sparsity, step, most)
    return {site.names[0]: found[kind] for kind, sites in kinds.items() for site in sites}


def _by_block(
    model: nn.Module,
    calibrated: Calibrated,
    method: InputMethod,
    batches: Sequence[Batch],
    sparsity: float,
    step: float,
    most: float,
    progress: Callable[[int, int], None] | None,
) -> dict[str, float]:
    blocks: dict[str, list[Site]] = {}
    for site in calibrated.sites:
        blocks.setdefault(_block_of(model, site.names[0]), []).append(site)
    found: dict[str, float] = {}
    for number, (name, sites) in enumerate(blocks.items()):
        block = model.get_submodule(name)
        by_name = {site.names[0]: site for site in sites}
        with torch.no_grad(), evaluating(model):
            calls = _calls(model, block, batches)
            exact = [_tensor(block(*args, **kwargs)) for args, kwargs in calls]

            def cost(
                now: Mapping[str, float], by_name: Any = by_name, block: Any = block, calls: Any = calls, exact: Any = exact
            ) -> float:
                for layer, site in by_name.items():
                    site.settle(method, 1 - now[layer])
                with on_all_tokens(model):
                    made = [_tensor(block(*args, **kwargs)) for args, kwargs in calls]
                return sum(float((a - b).float().square().sum()) for a, b in zip(made, exact, strict=True))

            found |= raised({n: s.shape[0] * s.shape[1] for n, s in by_name.items()}, cost, sparsity, step, most)
        for site in sites:
            site.settle(method, 1.0)
        if progress is not None:
            progress(number + 1, len(blocks))
    return found


def _block_of(model: nn.Module, name: str) -> str:
    """The element of the outermost list of modules that a layer lies in; "" for the model itself where there is none."""
    words = name.split(".")
    for end in range(1, len(words)):
        if isinstance(model.get_submodule(".".join(words[:end])), nn.ModuleList):
            return ".".join(words[: end + 1])
    return ""


def _calls(model: nn.Module, block: nn.Module, batches: Sequence[Batch]) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What the block is called with when the (dense) model reads the batches."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    handle = block.register_forward_pre_hook(lambda _, args, kwargs: calls.append((args, dict(kwargs))), with_kwargs=True)
    try:
        for batch in batches:
            call(model, batch)
    finally:
        handle.remove()
    return calls


def _tensor(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    return output.logits if hasattr(output, "logits") else output[0]
