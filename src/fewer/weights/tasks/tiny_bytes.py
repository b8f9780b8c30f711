"""A language model of bytes, trained where it is needed: for machines that have Python and no model to load.

Trained once for a text set and kept in the cache folder, under a name that stands for the network, its training and the
text. On held-out `python-topics` it takes 2.12 bits a byte, where byte pairs counted in the same text take 3.74.
"""

import hashlib
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Int
from torch import Tensor, nn

from fewer.core import stream
from fewer.data import text
from fewer.data.places import Places
from fewer.data.quiet import quiet
from fewer.errors import ModelError
from fewer.files import write_whole
from fewer.weights.one_thread import one_thread

log = logging.getLogger("fewer.weights")

VERSION = 1
"""Raise this when a change of code trains other weights: those in caches are left alone then."""

NETWORK: dict[str, Any] = {
    "vocab_size": 256,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "bos_token_id": None,
    "eos_token_id": None,
}
"""A transformers LlamaConfig: 672,000 weights, 639,000 of them in layers that can be pruned."""


@dataclass(frozen=True)
class Recipe:
    """AdamW; the rate rises in a line, then falls along a half cosine to zero."""

    steps: int = 1000
    batch: int = 4
    """Windows of one context a step."""
    rate: float = 3e-3
    warm_up: int = 50
    """Steps in which the rate rises."""
    weight_decay: float = 0.1
    seed: int = 0

    def factor(self, step: int) -> float:
        """Share of the highest rate at `step`, from 0."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        return 0.5 + 0.5 * math.cos(math.pi * (step - self.warm_up) / (self.steps - self.warm_up))


def encode(text: str) -> Int[Tensor, " bytes"]:
    """UTF-8 bytes as token ids in [0, 256)."""
    return torch.from_numpy(np.frombuffer(text.encode(), np.uint8).astype(np.int64))


def trained(text_set: str, recipe: Recipe = Recipe()) -> nn.Module:
    """The model of the calibration part of a text set, in evaluation mode; trained now unless the cache holds it.

    Training takes about a minute, on one thread, and says so on the `fewer.weights` logger. The same kind of processor gives
    the same weights. The global random state stays as it was.

    Raises:
        DataError: no such text set, or it cannot be had.
        ModelError: the cache folder cannot be written.
    """
    tokens = encode(text.load(text_set, "calibration"))
    path = Places.find().cache / "trained" / f"tiny-bytes-{text_set}-{_key(tokens, recipe)}.safetensors"
    with quiet():
        model = _network(recipe.seed)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock")):  # two processes at once: the second one waits and loads
                if not _load(model, path):
                    log.info("training tiny-bytes on %s for %d steps; kept as %s", text_set, recipe.steps, path)
                    train(model, tokens, recipe)
                    _save(model, path)
        except OSError as error:
            raise ModelError(
                f"tiny-bytes cannot be kept in {path.parent} ({error}). Set FEWER_CACHE to another folder."
            ) from error
    return model.eval()


def train(model: nn.Module, tokens: Int[Tensor, " bytes"], recipe: Recipe) -> None:
    """Train in place on windows drawn from all over `tokens`."""
    length, windows = NETWORK["max_position_embeddings"], stream(recipe.seed, "windows")
    optimizer = torch.optim.AdamW(model.parameters(), recipe.rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.factor)
    model.train()
    with one_thread():  # two help on idle cores, take ten times as long on busy ones, and round otherwise
        for _ in range(recipe.steps):
            starts = torch.randint(len(tokens) - length + 1, (recipe.batch, 1), generator=windows)
            batch = tokens[starts + torch.arange(length)]
            optimizer.zero_grad()
            model(input_ids=batch, labels=batch, use_cache=False).loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()


def _network(seed: int) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**NETWORK))


def _key(tokens: Int[Tensor, " bytes"], recipe: Recipe) -> str:
    about = json.dumps([VERSION, NETWORK, asdict(recipe)], sort_keys=True).encode()
    return hashlib.sha256(about + hashlib.sha256(tokens.numpy().tobytes()).digest()).hexdigest()[:16]


def _load(model: nn.Module, path: Path) -> bool:
    """Put kept weights into `model`; False when there are none, or they are not what was written."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            whole = (file.metadata() or {}).get("sha256") == _digest(kept)
    except SafetensorError:
        whole = False
    if not whole:
        log.warning("%s is damaged; tiny-bytes is trained again", path)
        return False
    model.load_state_dict(kept, strict=False)  # the head is the embedding, and kept once
    return True


def _save(model: nn.Module, path: Path) -> None:
    from safetensors.torch import save

    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    write_whole(path, save(weights, {"sha256": _digest(weights)}))


def _digest(weights: dict[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode())
        total.update(weights[name].numpy().tobytes())
    return total.hexdigest()
