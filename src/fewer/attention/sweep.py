"""Which layers should choose keys in decoding: found on a text, one layer after the other."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from jaxtyping import Int
from torch import Tensor

from fewer.attention.forced import TeacherForced
from fewer.attention.tidal import PUBLISHED
from fewer.errors import AttentionError


class Swept(NamedTuple):
    """The best selection layers of one size."""

    select: tuple[int, ...]
    nll: float
    """Mean nats a token."""
    above_dense: float
    """By how many nats that is worse than dense attention."""
    tried: dict[int, float]
    """Layer that was added -> nats with it."""


def sweep(
    model: Any,
    tokens: Int[Tensor, "1 tokens"],
    prompt: int,
    *,
    keys: int = 256,
    select: tuple[int, ...] = PUBLISHED[:1],
    add: int = 4,
    candidates: Iterable[int] | None = None,
    progress: Callable[[tuple[int, ...], float], None] | None = None,
    **parameters: Any,
) -> list[Swept]:
    """Begin with `select` and add `add` layers, each time the one that lowers the loss most.

    What it finds is fitted to the text: measure it on another one. Each trial is a forward pass over the tokens behind the
    prompt, (layers - first) * add of them in all.

    Args:
        prompt: tokens that are read first, with dense attention; they should be several times `keys`.
        candidates: layers to try; all after the first of `select` when None.
        progress: called after each trial with the layers and the nats.
        parameters: others of `Tidal`.

    Returns:
        The result without an added layer, with one, with two, ...

    Raises:
        AttentionError: more layers to add than there are candidates.
    """
    count = model.config.get_text_config().num_hidden_layers
    left = set(range(min(select) + 1, count) if candidates is None else candidates) - set(select)
    if not 0 <= add <= len(left):
        raise AttentionError(f"add is {add}; allowed: 0 to {len(left)}, the layers that can be added to {select}.")
    text = TeacherForced(model, tokens, prompt)
    dense = float(text.nll().mean())

    def measured(layers: tuple[int, ...]) -> float:
        nats = float(text.nll("tidal", keys=keys, select=layers, **parameters).mean())
        if progress is not None:
            progress(layers, nats)
        return nats

    nats = measured(select)
    found = [Swept(select, nats, nats - dense, {})]
    for _ in range(add):
        tried = {layer: measured(tuple(sorted((*found[-1].select, layer)))) for layer in sorted(left)}
        best = min(tried, key=lambda layer: tried[layer])
        left.remove(best)
        found.append(Swept(tuple(sorted((*found[-1].select, best))), tried[best], tried[best] - dense, tried))
    return found
