"""How good a model still is: perplexity of language models, accuracy and calibration of classifiers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from fewer.errors import MeasureError
from fewer.measure.evaluating import evaluating

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor, nn

_LOGITS_CHANGED = ("logits_scaling", "logit_scale", "final_logit_softcapping")  # by Granite, Cohere, Gemma
_ROWS = 1024  # tokens whose logits are held at once
_LOGITS_AT_ONCE = 2**22  # 16 MB of float32; smaller slices pay for more parallel regions


class Perplexity(NamedTuple):
    """How well a causal language model predicts a text."""

    perplexity: float
    """exp(nll); infinite above e^709."""
    nll: float
    """Mean negative log-likelihood, nats a token."""
    tokens: int
    """Predicted tokens: length - 1 of each window."""
    window_nll: list[float]
    """Mean nats a token of each window, in order: what a bootstrap over windows draws from."""


class Classification(NamedTuple):
    """How well a classifier does on labelled samples."""

    accuracy: float
    """Share of samples whose likeliest class is the label."""
    nll: float
    """Mean negative log-likelihood of the label, nats; infinite where a label has probability 0."""
    ece: float
    """Expected calibration error: sum over 15 equal-width bins of confidence of (|b| / n) |accuracy_b - confidence_b|."""
    worst_class: float
    """Lowest accuracy within one class, of the classes among the labels."""


def windows(ids: Int[Tensor, " tokens"], length: int, count: int | None = None) -> Int[Tensor, "windows length"]:
    """Cuts a text's token ids into windows that do not overlap, from its start; a rest shorter than one is left out.

    Args:
        count: how many windows; by default all.

    Raises:
        MeasureError: the text is too short, or length or count make no window.
    """
    if ids.ndim != 1 or length < 1 or (count is not None and count < 1):
        raise MeasureError(f"ids {tuple(ids.shape)}, length {length}, count {count}: give [tokens], at least 1, at least 1.")
    found = ids.numel() // length
    wanted = found if count is None else count
    if found < max(wanted, 1):
        raise MeasureError(
            f"the text has {ids.numel()} tokens; {max(wanted, 1)} windows of {length} need {max(wanted, 1) * length}. "
            "Give a longer text, or lower length or count."
        )
    return ids[: wanted * length].view(wanted, length)


def perplexity(model: nn.Module, ids: Int[Tensor, "windows length"], batch: int = 1) -> Perplexity:
    """Perplexity of a transformers causal language model over windows, each read with no context before it.

    The logits of one batch are held as the model gives them (at batch 1 one window's); log-softmax is taken in float32
    over slices of some rows. A pruned model may be as wrong as it likes: a huge likelihood loss is reported, infinity
    as infinity. NaN is an error, and so is a logit of +infinity, whose softmax is NaN.

    Args:
        ids: token ids, see `windows`.
        batch: windows a forward pass.

    Raises:
        MeasureError: a window has nothing to predict, batch is below 1, or the model gives NaN.
    """
    import torch

    if ids.ndim != 2 or ids.shape[0] < 1 or ids.shape[1] < 2 or batch < 1:
        raise MeasureError(f"ids {tuple(ids.shape)}, batch {batch}: give [windows, length], length at least 2, batch 1.")
    device = next(model.parameters()).device
    window_nll: list[float] = []
    with evaluating(model), torch.inference_mode():
        for part in ids.split(batch):
            part = part.to(device)
            logits = model(input_ids=part, use_cache=False).logits
            for row, (scores, targets) in enumerate(zip(logits, part, strict=True)):
                nll = _mean_nll(scores[:-1], targets[1:])
                if math.isnan(nll):
                    raise MeasureError(
                        f"the logits of window {len(window_nll)} (row {row} of its batch) are NaN or +infinity: "
                        "look for overflow in the model's weights or dtype; float32 reaches further than float16."
                    )
                window_nll.append(nll)
            del logits, scores
    mean = sum(window_nll) / len(window_nll)
    return Perplexity(math.exp(mean) if mean < 709 else math.inf, mean, ids.numel() - ids.shape[0], window_nll)


def long_nll(model: nn.Module, ids: Int[Tensor, "windows length"]) -> float:
    """Mean nats a token of long windows: as `perplexity`, but the output head of a transformers model reads some rows at a
    time, so that the logits of a window need not fit in memory. A model that scales or caps its logits is read whole.
    """
    import torch

    config = model.config.get_text_config()  # type: ignore[union-attr, operator]
    if any(getattr(config, name, None) not in (None, 1, 1.0) for name in _LOGITS_CHANGED):
        return perplexity(model, ids).nll
    head = model.get_output_embeddings()  # type: ignore[operator]
    total = 0.0
    with evaluating(model), torch.inference_mode():
        for window in ids:
            hidden = model.base_model(window[None], use_cache=False)[0][0, :-1]  # type: ignore[operator]
            for rows, targets in zip(hidden.split(_ROWS), window[1:].split(_ROWS), strict=True):
                total += _mean_nll(head(rows), targets) * len(rows)
    return total / (ids.numel() - ids.shape[0])


def classification(
    scores: Float[Tensor, "samples classes"], labels: Int[Tensor, " samples"], probabilities: bool = False
) -> Classification:
    """Accuracy, likelihood, calibration and the worst class of a classifier's outputs, in float64 (calibration in float32).

    Args:
        scores: logits, or with `probabilities=True` rows that sum to 1.
        labels: the true class of each sample.

    Raises:
        MeasureError: no samples, shapes that do not fit, labels out of range, a score that is not finite, or rows that
            are no probabilities though said to be.
    """
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    if scores.ndim != 2 or labels.shape != scores.shape[:1] or scores.numel() == 0:
        raise MeasureError(
            f"scores {tuple(scores.shape)} with labels {tuple(labels.shape)}: give [samples, classes] and [samples]."
        )
    classes = scores.shape[1]
    if classes < 2 or int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise MeasureError(f"labels reach from {int(labels.min())} to {int(labels.max())}; scores have {classes} classes.")
    scores, labels = scores.detach().double(), labels.long()
    if not bool(scores.isfinite().all()):
        bad = int((~scores.isfinite()).any(1).nonzero()[0])
        raise MeasureError(f"the scores of sample {bad} are not finite: look for overflow in the model.")
    if probabilities:
        if bool((scores < 0).any()) or bool(((scores.sum(1) - 1).abs() > 1e-3).any()):
            raise MeasureError("the rows are not probabilities (0 or more, sum 1); leave out probabilities=True for logits.")
        log_shares = scores.log()
    else:
        log_shares = scores.log_softmax(1)
    right = scores.argmax(1) == labels
    total = torch.bincount(labels, minlength=classes)
    hits = torch.bincount(labels[right], minlength=classes)
    # torchmetrics reckons in float32, and gives a confidence of exactly 1 a bin of its own, beyond the last.
    shares = log_shares.exp().float().clamp(max=1 - torch.finfo(torch.float32).eps)
    ece = multiclass_calibration_error(shares, labels, num_classes=classes, n_bins=15, norm="l1")
    return Classification(
        accuracy=float(right.double().mean()),
        nll=-float(log_shares.gather(1, labels[:, None]).mean()),
        ece=float(ece),
        worst_class=float((hits[total > 0].double() / total[total > 0]).min()),
    )


def _mean_nll(logits: Float[Tensor, "tokens vocabulary"], targets: Int[Tensor, " tokens"]) -> float:
    import torch
    from torch.nn.functional import cross_entropy

    rows = max(1, _LOGITS_AT_ONCE // logits.shape[1])
    pieces = zip(logits.split(rows), targets.split(rows), strict=True)
    sums = [cross_entropy(piece.float(), wanted, reduction="none").double().sum() for piece, wanted in pieces]
    return float(torch.stack(sums).sum()) / len(targets)
