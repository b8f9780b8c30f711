"""How well a model answers under a method, and at what price."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import DynamicCache

from fewer.attention.frontier.prompt import Prompt, forward, read
from fewer.attention.frontier.sample import Sample
from fewer.attention.frontier.studied import Counted, studied
from fewer.attention.method import SparseAttention

BATCH = 32


class Judged(NamedTuple):
    """Of samples under one method."""

    nll: list[float]
    """For each sample: mean nats of its judged tokens (of an accepted token, where several are)."""
    right: list[float]
    """For each sample: share of its answers that greedy decoding gives."""
    counted: list[Counted]
    """Of each batch."""
    tokens: int
    """Read and decoded, in all samples."""

    @property
    def density(self) -> float:
        """Kept share of the cells of the method's phase, over all samples."""
        return sum(c.kept for c in self.counted) / sum(c.cells for c in self.counted)


Read = Callable[[nn.Module, Sequence[Sample]], Prompt]


def read_prompts(model: nn.Module, batch: Sequence[Sample]) -> Prompt:
    """All tokens but the last one of the prompts: that one is decoded, since it gives the first answer."""
    tokens = torch.stack([sample.tokens[: sample.start - 1] for sample in batch])
    return read(model, tokens.to(next(model.parameters()).device))


@torch.inference_mode()
def judge(
    model: nn.Module, samples: Sequence[Sample], method: SparseAttention, phase: str, prompts: Read = read_prompts
) -> Judged:
    """`method` in `phase` (prefill or decode) and dense attention in the other one; a random twin draws anew for each batch."""
    found = Judged([], [], [], sum(len(s.tokens) for s in samples))
    for number, batch in enumerate(batches(samples)):
        counted = Counted(_anew(method, number), phase)
        logits = (_prefilled if phase == "prefill" else _decoded)(model, batch, counted, prompts)
        for row, sample in zip(logits.float(), batch, strict=True):
            nll, right = _of(row, sample)
            found.nll.append(nll)
            found.right.append(right)
        found.counted.append(counted)
    return found


def batches(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Neighbours of one shape together."""
    batch: list[Sample] = []
    for sample in samples:
        if batch and (len(batch) == BATCH or _shape(sample) != _shape(batch[0])):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch


def _shape(sample: Sample) -> tuple[int, int, bool]:
    return len(sample.tokens), sample.start, sample.running


def _anew(method: SparseAttention, number: int) -> SparseAttention:
    return method.with_seed(method.seed * 1_000_003 + number) if method.kind == "random" else method  # type: ignore[return-value]


def _prefilled(
    model: nn.Module, batch: Sequence[Sample], counted: Counted, prompts: Read
) -> Float[Tensor, "batch judged vocabulary"]:
    tokens = torch.stack([sample.tokens for sample in batch]).to(next(model.parameters()).device)
    start, cache = batch[0].start, DynamicCache()
    rows = tokens.shape[1] - start + 1
    with studied(model, counted):
        if batch[0].running:
            return forward(model, tokens, cache, rows)[:, :-1]
        first = forward(model, tokens[:, :start], cache, 1)
        return torch.cat([first, forward(model, tokens[:, start:], cache, rows - 1)[:, :-1]], 1)


def _decoded(
    model: nn.Module, batch: Sequence[Sample], counted: Counted, prompts: Read
) -> Float[Tensor, "batch judged vocabulary"]:
    prompt = prompts(model, batch)
    rest = torch.stack([sample.tokens[sample.start - 1 :] for sample in batch]).to(next(model.parameters()).device)
    prompt.begin(counted)
    with studied(model, counted):
        return forward(model, rest, prompt.cache(), rest.shape[1])[:, :-1]


def _of(logits: Float[Tensor, "judged vocabulary"], sample: Sample) -> tuple[float, float]:
    rows = logits[[at - sample.start for at in sample.asked]]
    logs = rows.log_softmax(-1)
    best = rows.argmax(-1).tolist()
    nll, wrong = 0.0, set()
    for row, (accepted, answer) in enumerate(zip(sample.accepted, sample.answers, strict=True)):
        nll -= float(logs[row, list(accepted)].logsumexp(0)) / len(sample.asked)
        if best[row] not in accepted:
            wrong.add(answer)
    return nll, 1 - len(wrong) / len(set(sample.answers))
