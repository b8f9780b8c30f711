"""Fit decoding with carried keys to a loss budget: how many keys, and which layers choose them."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor, nn

from fewer.attention.forced import TeacherForced
from fewer.attention.settings import configure
from fewer.errors import AttentionError

KEYS = (128, 256, 512, 1024)
STRIDES = (6, 4, 3, 2)
"""From the third layer on, every so many layers choose."""


class FittedTidal(NamedTuple):
    """Keys and selection layers, and what they cost."""

    keys: int
    select: tuple[int, ...]
    cells: float
    """Cached tokens that a step reads in all layers, as a share of what dense attention reads."""
    fit_increase: float
    """Relative increase of the perplexity behind the prompt, on the text it was fitted on."""
    held_out_increase: float | None
    """The same on the other text."""
    budget: float
    tried: dict[tuple[int, tuple[int, ...]], float]
    """(keys, selection layers) -> relative increase on the fitting text, in the order in which they were tried."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Switch the model to what was found; to dense attention where nothing met the budget."""
        return configure(model, "tidal", keys=self.keys, select=self.select) if self.select else configure(model, "dense")

    def __str__(self) -> str:
        layers = ", ".join(map(str, self.select)) or "none: dense"
        said = f"budget +{self.budget:.1%}: {self.keys} keys, chosen by layers {layers}; reads {self.cells:.3f} of the cache; "
        said += f"perplexity {self.fit_increase:+.2%} on the fitting text"
        return said if self.held_out_increase is None else f"{said}, {self.held_out_increase:+.2%} on the other"


def fit_tidal(
    model: nn.Module,
    tokens: Int[Tensor, "1 length"],
    held_out: Int[Tensor, "1 length"] | None = None,
    loss_budget: float = 0.02,
    prompt: int | None = None,
    keys: Sequence[int] = KEYS,
    select: Iterable[tuple[int, ...]] = (),
    progress: Callable[[str], None] | None = None,
) -> FittedTidal:
    """Try settings from the cheapest on, and take the first whose perplexity behind the prompt stays within the budget.

    Args:
        prompt: tokens that are read first; three quarters of them when None.
        select: sets of selection layers to try beside every sixth to every second layer, as `sweep` finds them.

    Raises:
        AttentionError: a budget below 0, or a prompt with nothing behind it.
    """
    if loss_budget < 0:
        raise AttentionError(f"a loss budget is a relative increase of at least 0, not {loss_budget}.")
    length = tokens.shape[1]
    prompt = length * 3 // 4 if prompt is None else prompt
    count = model.config.get_text_config().num_hidden_layers  # type: ignore[union-attr, operator]
    sets = [*map(tuple, select), *(tuple(range(min(2, count - 1), count, stride)) for stride in STRIDES)]
    settings = sorted({(k, s) for k in keys for s in sets if k < prompt}, key=lambda one: _cells(one, count, length))
    text = TeacherForced(model, tokens, prompt)
    dense = float(text.nll().mean())
    tried: dict[tuple[int, tuple[int, ...]], float] = {}
    chosen: tuple[int, tuple[int, ...]] = (length, ())
    for one in settings:
        tried[one] = math.expm1(float(text.nll("tidal", keys=one[0], select=one[1]).mean()) - dense)
        if progress is not None:
            progress(f"{one[0]} keys, {len(one[1])} selection layers: perplexity {tried[one]:+.2%}")
        if tried[one] <= loss_budget:
            chosen = one
            break
    cells = _cells(chosen, count, length) if chosen[1] else 1.0
    fitted = FittedTidal(*chosen, cells, tried.get(chosen, 0.0), None, loss_budget, tried)
    if held_out is not None and chosen[1]:
        other = TeacherForced(model, held_out, held_out.shape[1] * prompt // length)
        before, after = (float(nll.mean()) for nll in (other.nll(), other.nll("tidal", keys=chosen[0], select=chosen[1])))
        fitted = fitted._replace(held_out_increase=math.expm1(after - before))
    fitted.apply(model)
    return fitted


def _cells(setting: tuple[int, tuple[int, ...]], layers: int, length: int) -> float:
    """Share of the cache that is read: whole by selection layers and those before them, `keys` by the others."""
    keys, select = setting
    whole = min(select) + len(select)
    return (whole + (layers - whole) * min(1.0, keys / length)) / layers
