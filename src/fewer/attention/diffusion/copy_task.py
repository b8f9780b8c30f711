"""The task of comparing sparse attention in a diffusion language model: how much of a text it copies, under which pattern."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fewer.attention.denoising import Denoising
from fewer.attention.dense import DenseAttention
from fewer.attention.diffusion.attach import attach
from fewer.attention.diffusion.llada import LLaDA
from fewer.attention.inputs import Inputs
from fewer.attention.keys import Blocks
from fewer.attention.memory import Memory
from fewer.attention.sparsed import SparseD
from fewer.compare.task import Direction, Measurement, Task
from fewer.core import stream
from fewer.core.budget import Budget, Density
from fewer.core.method import Method
from fewer.core.one_thread import one_thread
from fewer.data import text
from fewer.data.trained.byte_tokens import encode
from fewer.data.trained.diffusion_lm import MASK, RECIPE, diffusion_lm
from fewer.data.trained.echo_lm import EchoRecipe, default_text_set, echo_batch
from fewer.errors import MethodError


@dataclass(frozen=True)
class OtherHead(SparseD):
    """Every head reads the pattern of the one before it: what a pattern is worth to another head."""

    slug: ClassVar[str] = "sparsed-other-head"

    def choose(self, inputs: Inputs, memory: Memory) -> Blocks:
        return Blocks(super().choose(inputs, memory).blocks.roll(1, 1), self.block)


@dataclass(frozen=True)
class CopyTask(Task):
    """The model sees a piece of held-out text and generates it a second time. `copied` is the share of bytes that are right.

    A budget is `select`. A seed draws the pieces; the model is the same for all. `overlap` (intersection over union of kept
    blocks) is measured where it answers a question: of SparseD's pattern while much is masked with the one when little is; and
    of the patterns of other heads, and of random ones, with SparseD's own when little is.
    """

    name: str = "copy"
    recipe: EchoRecipe = field(default_factory=lambda: RECIPE)
    text_set: str = ""
    """`default_text_set()` when empty."""
    sequences: int = 24
    compared: int = 8
    """Of them those whose patterns are compared."""
    steps: int = 32
    early: tuple[float, ...] = (0.8, 0.5)
    """Shares of the copy that are masked where patterns are compared with the late one."""
    late: float = 0.2

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"copied": "higher", "overlap": "higher"}

    @property
    def data(self) -> str:
        found = text.read(self._set, "test")
        return (
            f"a diffusion model of bytes ({self.recipe.layers} layers of {self.recipe.hidden}, {self.recipe.steps} steps) "
            f"trained here on {self._set}; pieces of its test part ({found.source})"
        )

    @property
    def _set(self) -> str:
        return self.text_set or default_text_set()

    def configuration(self) -> dict[str, object]:
        """With the text set that an empty name stands for here."""
        return {**super().configuration(), "text_set": self._set}

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for an arm that is neither SparseD nor dense, or a budget that is no density."""
        if not isinstance(method, SparseD | DenseAttention) or not isinstance(budget, Density):
            raise MethodError(f"{self.name} compares SparseD and its twins; {method.slug} under {budget} is none.")
        if isinstance(method, SparseD):
            method = replace(method, select=budget.share)
        model, tokens = _model(self.recipe, self._set)
        pieces = echo_batch(tokens, self.sequences, self.recipe.length, stream(seed, "pieces"))
        with one_thread(), torch.inference_mode():
            copied, memory = self._copied(model, method, pieces)
            cost = dict.fromkeys(("density", "dense_steps", "cost_share"), 1.0)
            overlaps: dict[str, float] = {}
            if isinstance(method, SparseD):
                cost = dict(zip(cost, method.spent(memory), strict=True))
                overlaps = self._overlaps(model, method, pieces[: self.compared], seed)
        means = {"overlap": sum(overlaps.values()) / len(overlaps)} if overlaps else {}
        return Measurement({"copied": copied, **means}, cost, {"facts": overlaps})

    def _copied(self, model: nn.Module, method: SparseD | DenseAttention, pieces: Tensor) -> tuple[float, Memory]:
        half = self.recipe.length // 2
        with attach(model, method) as attached:
            made = LLaDA(steps=self.steps, length=half, block=half)(model, pieces[:, :half], MASK)
        return float((made == pieces).float()[:, half:].mean()), attached.memory

    def _overlaps(self, model: nn.Module, method: SparseD, pieces: Tensor, seed: int) -> dict[str, float]:
        """By layer (and share masked); none for arms whose overlap says nothing."""
        if type(method) is SparseD and method.sides == "isolated" and not method.shared:
            sides = [(f"{share:g}", share, method) for share in self.early]
        elif isinstance(method, OtherHead) or method.kind == "random":
            sides = [(f"{self.late:g}", self.late, method)]
        else:
            return {}
        own = SparseD(method.select, method.block)
        last = self._patterns(model, own, pieces, self.late, seed)
        found = {}
        for said, share, arm in sides:
            seen = self._patterns(model, own if isinstance(arm, OtherHead) else arm, pieces, share, seed)
            for layer, (a, b) in enumerate(zip(seen, last, strict=True)):
                turns = range(1, a.shape[1]) if isinstance(arm, OtherHead) else (0,)
                each = [overlap(a.roll(turn, 1), b) for turn in turns]
                found[f"overlap of layer {layer}, {said} masked"] = sum(each) / len(each)
        return found

    def _patterns(
        self, model: nn.Module, method: SparseD, pieces: Tensor, share: float, seed: int
    ) -> list[Bool[Tensor, "batch heads query_blocks key_blocks"]]:
        """Of each layer, when a share of the copy is masked; smaller shares are parts of larger ones."""
        half = self.recipe.length // 2
        masked = torch.rand(pieces.shape, generator=stream(seed, "masked")) < share
        masked[:, :half] = False
        with attach(model, Seen()) as attached:
            model(pieces.masked_fill(masked, MASK), use_cache=False)
        Denoising(0, self.steps, half).tell(attached.memory)
        layers = sorted(key for key in attached.memory if isinstance(key, int))
        return [method.choose(attached.memory[layer], attached.memory).blocks for layer in layers]


@dataclass(frozen=True)
class Seen(DenseAttention):
    """Dense attention that remembers what each layer was given."""

    def attend(self, inputs: Inputs, memory: Memory) -> Tensor:
        memory[inputs.layer] = inputs
        return super().attend(inputs, memory)


def overlap(a: Bool[Tensor, "batch heads *blocks"], b: Bool[Tensor, "batch heads *blocks"]) -> float:
    """Intersection over union of each head's blocks, mean over heads and sequences."""
    a, b = a.flatten(2), b.flatten(2)
    each: Float[Tensor, "batch heads"] = (a & b).sum(-1) / (a | b).sum(-1)
    return float(each.mean())


@lru_cache(maxsize=2)
def _model(recipe: EchoRecipe, text_set: str) -> tuple[nn.Module, Int[Tensor, " bytes"]]:
    """The trained model, and the held-out text that it copies from."""
    return diffusion_lm(recipe, text_set), encode(text.load(text_set, "test"))
