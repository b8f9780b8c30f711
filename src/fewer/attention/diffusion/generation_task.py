"""What tasks of generating share: an arm generates under its pattern, and patterns of two steps are laid upon each other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fewer.attention.denoising import Denoising
from fewer.attention.dense import DenseAttention
from fewer.attention.diffusion.attach import attach
from fewer.attention.diffusion.sampler import Sampler
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Blocks
from fewer.attention.memory import Memory
from fewer.attention.sparsed import SparseD
from fewer.compare.task import Direction, Measurement, Task
from fewer.core import stream
from fewer.core.budget import Budget, Density
from fewer.core.method import Method
from fewer.core.one_thread import one_thread
from fewer.errors import MethodError


@dataclass(frozen=True)
class OtherHead(SparseD):
    """Every head reads the pattern of the one before it: what a pattern is worth to another head."""

    slug: ClassVar[str] = "sparsed-other-head"

    def choose(self, inputs: Inputs, memory: Memory) -> Blocks:
        return Blocks(super().choose(inputs, memory).blocks.roll(1, 1), self.block)


@dataclass(frozen=True)
class Seen(DenseAttention):
    """Dense attention that remembers what each layer was given."""

    def attend(self, inputs: Inputs, memory: Memory) -> Tensor:
        memory[inputs.layer] = inputs
        return super().attend(inputs, memory)


class Subject(NamedTuple):
    """What generates."""

    model: nn.Module
    sampler: Sampler
    mask_token: int


@dataclass(frozen=True)
class GenerationTask(Task):
    """A subclass names the subject, its prompts, and how much of what was generated is right (`copied`). A budget is `select`.

    `overlap` (intersection over union of kept blocks) is measured where it answers a question: of SparseD's pattern while much
    is masked with the one when little is; and of the patterns of other heads, and of random ones, with SparseD's own when
    little is.
    """

    compared: int = 8
    """Sequences whose patterns are compared, of those that are generated."""
    early: tuple[float, ...] = (0.8, 0.5)
    """Shares of the generated tokens that are masked where patterns are compared with the late one."""
    late: float = 0.2

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"copied": "higher", "overlap": "higher"}

    def subject(self) -> Subject:
        """What generates; loaded once."""
        raise NotImplementedError

    def prompts(self, seed: int) -> list[Int[Tensor, "batch prompt"]]:
        """Batches of one length each."""
        raise NotImplementedError

    def right(self, made: Int[Tensor, "batch length"], batch: int, seed: int) -> list[float]:
        """Of each sequence of a batch, the share of what was generated that is right."""
        raise NotImplementedError

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for an arm that is neither SparseD nor dense, or a budget that is no density."""
        if not isinstance(method, SparseD | DenseAttention) or not isinstance(budget, Density):
            raise MethodError(f"{self.name} compares SparseD and its twins; {method.slug} under {budget} is none.")
        if isinstance(method, SparseD):
            method = replace(method, select=budget.share)
        subject = self.subject()
        with one_thread(), torch.inference_mode():
            made, memories = self._generated(subject, method, seed)
            length = subject.sampler.length
            right = [one for n, batch in enumerate(made) for one in self.right(batch[:, -length:], n, seed)]
            cost = dict.fromkeys(("density", "dense_steps", "cost_share"), 1.0)
            overlaps: dict[str, float] = {}
            if isinstance(method, SparseD):
                spent = [method.spent(memory) for memory in memories]
                cost = {name: sum(of) / len(of) for name, of in zip(cost, zip(*spent, strict=True), strict=True)}
                overlaps = self._overlaps(subject, method, seed)
        means = {"overlap": sum(overlaps.values()) / len(overlaps)} if overlaps else {}
        return Measurement({"copied": sum(right) / len(right), **means}, cost, {"facts": overlaps})

    def _generated(
        self, subject: Subject, method: SparseD | DenseAttention, seed: int, most: int | None = None
    ) -> tuple[list[Tensor], list[Memory]]:
        made, memories = [], []
        for prompt in self.prompts(seed)[:most]:
            with attach(subject.model, method) as attached:
                made.append(subject.sampler(subject.model, prompt[:most], subject.mask_token, stream(seed, "draws")))
            memories.append(attached.memory)
        return made, memories

    def _overlaps(self, subject: Subject, method: SparseD, seed: int) -> dict[str, float]:
        """By layer and share masked, in what dense attention generates; none for arms whose overlap says nothing."""
        if type(method) is SparseD and method.sides == "isolated" and not method.shared:
            sides = [(share, method) for share in self.early]
        elif isinstance(method, OtherHead) or method.kind == "random":
            sides = [(self.late, method)]
        else:
            return {}
        own, others = SparseD(method.select, method.block), isinstance(method, OtherHead)
        found: dict[str, list[float]] = {}
        for made in self._generated(subject, DenseAttention(), seed, self.compared)[0]:
            last = self._patterns(subject, own, made, self.late, seed)
            for share, arm in sides:
                seen = self._patterns(subject, own if others else arm, made, share, seed)
                for layer, (a, b) in enumerate(zip(seen, last, strict=True)):
                    each = found.setdefault(f"overlap of layer {layer}, {share:g} masked", [])
                    each += [overlap(a.roll(turn, 1), b) for turn in (range(1, a.shape[1]) if others else (0,))]
        return {name: sum(each) / len(each) for name, each in found.items()}

    def _patterns(
        self, subject: Subject, method: SparseD, made: Int[Tensor, "batch tokens"], share: float, seed: int
    ) -> list[Bool[Tensor, "batch heads query_blocks key_blocks"]]:
        """Of each layer, when a share of the generated tokens is masked; smaller shares are parts of larger ones."""
        length = subject.sampler.length
        masked = (torch.rand(made.shape, generator=stream(seed, "masked")) < share).to(made.device)
        masked[:, :-length] = False
        with attach(subject.model, Seen()) as attached:
            subject.model(made.masked_fill(masked, subject.mask_token), use_cache=False)
        Denoising(0, subject.sampler.steps, length).tell(attached.memory)
        layers = sorted(key for key in attached.memory if isinstance(key, int))
        return [method.choose(attached.memory[layer], attached.memory).blocks for layer in layers]


def overlap(a: Bool[Tensor, "batch heads *blocks"], b: Bool[Tensor, "batch heads *blocks"]) -> float:
    """Intersection over union of each head's blocks, mean over heads and sequences."""
    a, b = a.flatten(2), b.flatten(2)
    each: Float[Tensor, "batch heads"] = (a & b).sum(-1) / (a | b).sum(-1)
    return float(each.mean())
