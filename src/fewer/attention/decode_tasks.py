"""The tasks of comparing methods of decoding: to copy what was read before, and to go on with a long text."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from fewer.attention.cache import Cache
from fewer.attention.decode_baselines import OracleKeys
from fewer.attention.forced import TeacherForced
from fewer.attention.method import SparseAttention
from fewer.attention.settings import NAMES, configure, in_force
from fewer.attention.tidal import MASS, Tidal
from fewer.compare.task import Direction, Measurement, Task
from fewer.core import stream
from fewer.core.budget import Budget, Density
from fewer.core.method import Method
from fewer.data import text
from fewer.data.trained.byte_tokens import encode
from fewer.data.trained.echo_lm import EchoRecipe, default_text_set, echo_batch, echo_lm
from fewer.errors import MethodError


@dataclass(frozen=True)
class SweptTidal(Tidal):
    """Tidal whose second selection layer is the best one of all on the calibration text, for each budget; `select` is where it
    begins. Its random twin is swept as well."""

    slug: ClassVar[str] = "tidaldecode-swept"

    select: tuple[int, ...] = (2,)


COPIER = EchoRecipe(layers=6, batch=8, steps=500, plain=0.0)
"""Six layers that have learnt to copy, and nothing else."""


@dataclass(frozen=True)
class EchoDecode(Task):
    """A piece of text is read, then copied token by token; `nll` is of the copy, on text that training did not see.

    A density is the share of the piece's tokens that a layer attends to, the new token among them. A seed trains a model and
    draws the pieces.
    """

    name: str = "echo-decode"
    recipe: EchoRecipe = COPIER
    pieces: int = 32

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"nll": "lower", "mass": "higher"}

    @property
    def data(self) -> str:
        name = default_text_set()
        return f"{name}, pieces of {self.recipe.length // 2} bytes and their copies; a Llama of {self.recipe.layers} layers"

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for an arm that is no decoding attention, or a budget that is no density."""
        half = self.recipe.length // 2
        method = with_keys(method, budget, half)
        model = trained(replace(self.recipe, seed=seed))
        if isinstance(method, SweptTidal):
            method = self._best(model, method, seed)
        nll, mass = _copied(model, method, self._pieces("test", seed))
        quality = {"nll": nll} | ({"mass": sum(mass.values()) / len(mass)} if mass else {})
        quality |= {f"mass:{layer}": share for layer, share in mass.items()}
        facts = {"keys": getattr(method, "keys", half), "select": list(getattr(method, "select", ()))}
        return Measurement(quality, {"read": self._read(method, half)}, {"facts": facts})

    def _best(self, model: Any, method: SweptTidal, seed: int) -> SweptTidal:
        pieces = self._pieces("calibration", seed)
        first = method.select[0]
        found = [replace(method, select=(first, layer)) for layer in range(first + 1, self.recipe.layers)]
        return min(found, key=lambda one: _copied(model, one, pieces)[0])

    def _pieces(self, split: Any, seed: int) -> Int[Tensor, "pieces length"]:
        tokens = encode(text.load(default_text_set(), split))
        return echo_batch(tokens, self.pieces, self.recipe.length, stream(seed, split, "pieces"))

    def _read(self, method: Method, half: int) -> float:
        """Share of cached keys that are read, over layers, in the middle of the copy."""
        if not isinstance(method, Tidal) or isinstance(method, OracleKeys):
            return 1.0
        whole = {layer for layer in range(self.recipe.layers) if layer < method.select[0] or layer in method.select}
        sparse = self.recipe.layers - len(whole)
        return (len(whole) + sparse * min(1.0, method.keys / (1.5 * half))) / self.recipe.layers


@dataclass(frozen=True)
class TextDecode(Task):
    """A language model goes on with a long text: nats a token behind a prompt that is read first. A seed takes another part."""

    name: str = "text-decode"
    model: str = "smollm2-135m"
    prompt: int = 7168
    tokens: int = 512

    @property
    def quality(self) -> Mapping[str, Direction]:
        return {"nll": "lower"}

    @property
    def data(self) -> str:
        found = text.default_text("test")
        return f"{found.name} ({found.source}): {self.tokens} tokens behind {self.prompt} of them, by {self.model}"

    def measure(self, method: Method, budget: Budget, seed: int) -> Measurement:
        """Raises MethodError for an arm that is no decoding attention, a budget that is no density, or too short a text."""
        name, parameters = _said(with_keys(method, budget, self.prompt))
        nll = float(read(self.model, self.prompt, self.tokens, seed).nll(name, **parameters).mean())
        return Measurement({"nll": nll}, {"keys": float(parameters.get("keys", self.prompt))})


def with_keys(method: Method, budget: Budget, cached: int) -> SparseAttention:
    """The method with its share of the cached keys. Raises MethodError for what is no attention of decoding, or no density."""
    if not isinstance(method, SparseAttention) or not isinstance(budget, Density):
        raise MethodError(f"attention of decoding under a density is compared here; {method.slug} under {budget} is not.")
    if method.kind == "dense":
        return method
    if not isinstance(method, Tidal):
        raise MethodError(f"{method.slug} has no number of keys; compared here are Tidal, OracleKeys and SinksAndWindow.")
    return replace(method, keys=max(1, round(budget.share * cached)))


@lru_cache(maxsize=4)
def trained(recipe: EchoRecipe) -> Any:
    return echo_lm(recipe)


@lru_cache(maxsize=1)
def read(model: str, prompt: int, count: int, part: int) -> TeacherForced:
    """The text's `part`-th stretch, its prompt read."""
    from fewer.data.models import load_causal_lm

    network, tokenizer = load_causal_lm(model)
    ids: Any = tokenizer(text.default_text("test").text, return_tensors="pt").input_ids
    length = prompt + count + 1
    if ids.shape[1] < (part + 1) * length:
        raise MethodError(f"the text has {ids.shape[1]} tokens; stretch {part} of {length} lies beyond. Ask for fewer seeds.")
    return TeacherForced(network, ids[:, part * length : (part + 1) * length], prompt)


def _said(method: SparseAttention) -> tuple[str, dict[str, Any]]:
    """As `configure` takes it: a name and its parameters."""
    if not isinstance(method, Tidal):
        return "dense", {}
    classes = [c for c in type(method).__mro__ if issubclass(c, Tidal)]
    names = {of.rpartition(":")[2]: name for name, of in NAMES.items()}
    name = next(names[c.__name__] for c in classes if c.__name__ in names)
    parameters = {key: value for key, value in vars(method).items() if key != "steps"}
    return ("random:" if method.kind == "random" else "") + name, parameters


@torch.inference_mode()
def _copied(model: Any, method: SparseAttention, pieces: Int[Tensor, "pieces length"]) -> tuple[float, dict[int, float]]:
    """Nats a token of the second halves, and the mass kept by layer."""
    half = pieces.shape[1] // 2
    name, parameters = _said(method)
    configure(model, name, **(parameters | {"steps": True} if parameters else {}))
    memory = in_force(model.config._attn_implementation, model.model.layers[0].self_attn)[1]
    memory[MASS] = {}
    cache = Cache(model.config, pieces.shape[1])
    model(pieces[:, :half], cache=cache, use_cache=True)
    logits = model(pieces[:, half:-1], cache=cache, use_cache=True).logits
    return float(cross_entropy(logits.flatten(0, 1), pieces[:, half + 1 :].flatten())), memory.pop(MASS)
