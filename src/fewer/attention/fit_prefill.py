"""Fit anchor attention to a loss budget: which head may be how sparse, chosen on one text and reported on another.

Recall says little of what a model loses. So one backward pass through the dense model says how much the loss moves with each
head's output; the change that a candidate makes to that output, times this, is the candidate's damage. For a price of damage
every head takes the candidate that costs least in cells and damage together; the price is set by measured losses.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewer.attention.anchor import DENSITIES, Anchor
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Stripes
from fewer.attention.memory import Memory
from fewer.attention.settings import configure, memory_of
from fewer.attention.watch import watched
from fewer.errors import AttentionError
from fewer.measure.quality import long_nll

THETAS = (-math.inf, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0, math.inf)
"""Candidates for each head: from the first and nearest keys alone to all keys."""
ROUNDS = 9
"""Prices that are tried: each is one forward pass over the text."""


class FittedAnchor(NamedTuple):
    """Thetas for every head, and what they cost."""

    thetas: dict[int, tuple[float, ...]]
    """By layer, one for each head; infinity is dense."""
    method: Anchor
    """With the parameters that all layers share."""
    density: float
    """Cells kept on the fitting text, phase 1 included: mean over layers and heads."""
    fit_increase: float
    """Relative increase of the perplexity on the text it was fitted on."""
    held_out_increase: float | None
    """The same on the other text."""
    budget: float
    tokens: int
    """Tokens a text."""
    dense_perplexity: float | None
    """Of the dense model on the other text."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Switch the model to what was found."""
        return _set(model, self.method, self.thetas)

    def __str__(self) -> str:
        heads = [theta for layer in self.thetas.values() for theta in layer]
        counts = ", ".join(f"{heads.count(t)} at {t:g}" for t in sorted(set(heads)))
        said = f"budget +{self.budget:.1%}: density {self.density:.3f}; perplexity {self.fit_increase:+.2%} on the fitting text"
        if self.held_out_increase is not None:
            said += f", {self.held_out_increase:+.2%} on the other (dense {self.dense_perplexity:.2f})"
        return f"{said}; heads by theta: {counts}"


class Candidates(NamedTuple):
    """What each candidate does to each head."""

    damage: Float[Tensor, "layers heads thetas"]
    """Nats a token: mean over tokens of the absolute change that its loss has by first order."""
    density: Float[Tensor, "layers heads thetas"]
    layers: tuple[int, ...]
    """Which they are: those with a sliding window are not among them."""


def fit_anchor(
    model: nn.Module,
    tokens: Int[Tensor, "windows length"],
    held_out: Int[Tensor, "windows length"] | None = None,
    loss_budget: float = 0.02,
    base: Anchor = Anchor(),  # noqa: B008 - frozen
    thetas: Sequence[float] = THETAS,
    candidates: Candidates | None = None,
    progress: Callable[[str], None] | None = None,
) -> FittedAnchor:
    """Find the sparsest anchor attention whose perplexity on `tokens` is at most 1 + loss_budget times the dense one's.

    Args:
        tokens: windows of one text, each of one prompt's length.
        held_out: windows of another, on which the outcome is reported; nothing is chosen by them.
        base: block, step and anchor of the candidates.
        candidates: from `measure_candidates`, to fit several budgets by one backward pass.
        progress: called with what is being done.

    Raises:
        AttentionError: a budget below 0, windows no longer than a group of queries, or a model that cannot be switched.
    """
    if loss_budget < 0:
        raise AttentionError(f"a loss budget is a relative increase of at least 0, not {loss_budget}.")
    if tokens.ndim != 2 or tokens.shape[1] <= base.group:
        raise AttentionError(f"windows must be longer than a group of {base.group} queries; given: {tuple(tokens.shape)}.")
    say = progress or (lambda _: None)
    if candidates is None:
        say("one backward pass through the dense model")
        candidates = measure_candidates(model, tokens, base, thetas)
    dense, _ = _loss(configure(model, "dense"), tokens)
    limit = dense + math.log1p(loss_budget)
    low, high = -6.0, 8.0  # logarithms of the price: the first buys sparsity, the last buys exactness
    best: tuple[dict[int, tuple[float, ...]], float, float] | None = None
    tried: dict[tuple, tuple[float, float]] = {}  # near prices make the same choice
    for turn in range(ROUNDS):
        price = (low + high) / 2
        chosen = _choice(candidates, 10**price, thetas)
        known = tuple(chosen.values())
        if known not in tried:
            tried[known] = _loss(_set(model, base, chosen), tokens)
        loss, density = tried[known]
        say(f"price {turn + 1} of {ROUNDS}: density {density:.3f}, perplexity {math.expm1(loss - dense):+.2%}")
        if loss <= limit:
            high = price
            if best is None or density < best[1]:
                best = chosen, density, loss
        else:
            low = price
    if best is None:
        best = dict.fromkeys(candidates.layers, (math.inf,) * candidates.damage.shape[1]), 1.0, dense
    fitted = FittedAnchor(best[0], base, best[1], math.expm1(best[2] - dense), None, loss_budget, tokens.shape[1], None)
    if held_out is not None:
        before, _ = _loss(configure(model, "dense"), held_out)
        after, _ = _loss(fitted.apply(model), held_out)
        fitted = fitted._replace(held_out_increase=math.expm1(after - before), dense_perplexity=math.exp(before))
    fitted.apply(model)
    return fitted


def measure_candidates(
    model: nn.Module, tokens: Int[Tensor, "windows length"], method: Anchor, thetas: Sequence[float] = THETAS
) -> Candidates:
    """Damage and density of every theta in every head, by one backward pass for each window."""
    configure(model, "dense")
    sums: dict[int, list[Tensor]] = {}
    wanted = [(p, p.requires_grad) for p in model.parameters()]
    for parameter, _ in wanted:
        parameter.requires_grad_(False)
    try:
        for window in tokens:
            for inputs, out in _calls(model, window):
                with torch.no_grad():
                    found = _of_layer(inputs, out, method, thetas)
                before = sums.setdefault(inputs.layer, [torch.zeros_like(part) for part in found])
                for total, part in zip(before, found, strict=True):
                    total += part
    finally:
        for parameter, learns in wanted:
            parameter.requires_grad_(learns)
    if not sums:
        raise AttentionError("no layer of the model has attention to all keys (sliding windows?): there is nothing to fit.")
    layers = tuple(sorted(sums))
    damage, density = (torch.stack([sums[layer][n] for layer in layers]) for n in (0, 1))
    return Candidates(damage / tokens.numel(), density / len(tokens), layers)


def _calls(model: nn.Module, window: Int[Tensor, " length"]) -> list[tuple[Inputs, Tensor]]:
    """Inputs and output of every layer's attention, and in the outputs the gradients of the loss, summed over tokens."""
    calls: list[tuple[Inputs, Tensor]] = []

    def watch(inputs: Inputs, out: Tensor) -> None:
        out.retain_grad()
        calls.append((inputs, out))

    embedded = model.get_input_embeddings()(window[None]).detach().requires_grad_()  # type: ignore[operator]
    with torch.enable_grad(), watched(model, watch):
        logits = model(inputs_embeds=embedded, use_cache=False).logits[0, :-1]
        cross_entropy(logits, window[1:], reduction="sum").backward()
    return calls


def _of_layer(inputs: Inputs, out: Tensor, method: Anchor, thetas: Sequence[float]) -> list[Tensor]:
    """Damage (summed over tokens) and density of each theta, [heads, thetas]."""
    gradient = out.grad
    assert gradient is not None
    plain = dataclasses.replace(inputs, q=inputs.q.detach(), k=inputs.k.detach(), v=inputs.v.detach())
    measured = method.measured(plain, Memory())
    damage, density = [], []
    for theta in thetas:
        columns = measured >= -theta if theta > -math.inf else torch.zeros_like(measured, dtype=torch.bool)
        keys = Stripes(columns & (measured > -torch.inf), method.group, method.block, method.block)
        change = dataclasses.replace(method, theta=theta).attend(plain, Memory()) - out.detach()
        damage.append((change * gradient).sum(-1).abs().sum((0, 2)))
        density.append(keys.kept(plain).double().mean(0) / plain.cells)
    return [torch.stack(damage, -1).double(), torch.stack(density, -1)]


def _choice(candidates: Candidates, price: float, thetas: Sequence[float]) -> dict[int, tuple[float, ...]]:
    """Of each head the candidate of least density + price * damage."""
    best = (candidates.density + price * candidates.damage).argmin(-1)
    return {n: tuple(thetas[i] for i in heads) for n, heads in zip(candidates.layers, best.tolist(), strict=True)}


def _set(model: nn.Module, method: Anchor, thetas: Mapping[int, tuple[float, ...]]) -> nn.Module:
    shared: dict[str, Any] = {"block": method.block, "step": method.step, "anchor": method.anchor}
    return configure(model, "anchor", by_layer={n: {"theta": t} for n, t in thetas.items()}, **shared)


def _loss(model: nn.Module, tokens: Int[Tensor, "windows length"]) -> tuple[float, float]:
    """Mean nats a token, and mean density over layers and windows (NaN where nothing is sparse)."""
    losses, densities = [], []
    memory = memory_of(model.config.get_text_config())  # type: ignore[union-attr, operator]
    for window in tokens:
        memory[DENSITIES] = {}
        losses.append(long_nll(model, window[None]))
        densities += memory.pop(DENSITIES).values()
    return sum(losses) / len(losses), sum(densities) / len(densities) if densities else math.nan
