"""Tokens of SmolLM2-135M behind 8,000 cached ones, one sequence: what each part of ours adds, against transformers.

Quality is the share of the text's next tokens after which the likeliest one is the stock model's.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

import fewer.attention
from fewer.activations import teal
from fewer.attention.cache import Cache
from fewer.data import text
from fewer.data.models import load_causal_lm
from fewer.decoding import fuse
from fewer.measure.benchmark import Benchmark, Point
from fewer.measure.latency import interleaved, ratio
from fewer.measure.quality import windows
from fewer.weights.accelerate import accelerate

NAME = "tidal-tokens"
CACHED, TURN, ROUNDS, JUDGED = 8000, 4, 9, 32
KEYS, SELECT = 512, tuple(range(2, 30, 2))
PEER = "transformers: SDPA and DynamicCache"


class Decoding:
    """`TURN` tokens a call, behind a cache that is then cut back to the prompt."""

    def __init__(self, model: Any, cache: Any, token: Tensor):
        self._model, self._cache, self._first = model, cache, token

    def __call__(self) -> None:
        token = self._first
        for _ in range(TURN):
            token = self._model(token, cache=self._cache, use_cache=True).logits[:, -1:].argmax(-1)
        self._cache.crop(-TURN)

    def likeliest(self, tokens: Tensor) -> list[int]:
        """After each of the tokens, which are read one by one."""
        found = [int(self._model(t[None, None], cache=self._cache, use_cache=True).logits[0, -1].argmax()) for t in tokens]
        self._cache.crop(-len(tokens))
        return found


def points() -> Iterator[Point]:
    """Each part on top of the ones before it."""
    model, tokenizer = load_causal_lm("smollm2-135m")
    ids: Any = tokenizer(text.default_text("test").text, return_tensors="pt", verbose=False).input_ids
    ids = ids.repeat(1, -(-(CACHED + JUDGED) // ids.shape[1]))
    runs = {name: Decoding(*parts) for name, parts in ways(model, ids, tokenizer).items()}
    with torch.inference_mode():
        said = {name: run.likeliest(ids[0, CACHED : CACHED + JUDGED]) for name, run in runs.items()}
        timed = interleaved(runs, ROUNDS, warmup=1)
    for name in runs:
        if name == PEER:
            continue
        found = ratio(timed[PEER], timed[name])
        yield Point(
            NAME,
            f"{name}; seconds a token",
            timed[name].median / TURN,
            timed[PEER].median / TURN,
            PEER,
            found.mean,
            found.low,
            found.high,
            quality_ours=sum(a == b for a, b in zip(said[name], said[PEER], strict=True)) / JUDGED,
            quality_peer=1.0,
            facts={"tokens_a_second": TURN / timed[name].median, "peer_tokens_a_second": TURN / timed[PEER].median},
        )


def ways(model: nn.Module, ids: Tensor, tokenizer: Any) -> Mapping[str, tuple[Any, Any, Tensor]]:
    """Model, cache and first token of each. Models share what they can of their weights."""
    from transformers import DynamicCache

    calibration = windows(
        tokenizer(text.default_text("calibration").text[:60_000], return_tensors="pt", verbose=False).input_ids[0], 512, 8
    )
    dense = fewer.attention.configure(_twin(model), "dense")
    tidal = fewer.attention.configure(_twin(model), "tidal", keys=KEYS, select=SELECT)
    whole = fuse(accelerate(fewer.attention.configure(copy.deepcopy(model), "dense"), forms=["dense"]))
    fast = accelerate(fewer.attention.configure(copy.deepcopy(model), "tidal", keys=KEYS, select=SELECT), forms=["dense"])
    sparse = accelerate(teal(copy.deepcopy(model), 0.5, calibration), forms=["dense"])
    fewer.attention.configure(sparse, "tidal", keys=KEYS, select=SELECT)
    stock = DynamicCache(config=model.config)
    with torch.no_grad():
        dense(ids[:, :CACHED], cache=stock, use_cache=True, logits_to_keep=1)  # our prefill kernel, for everyone
    token = ids[:, CACHED : CACHED + 1]

    def ours() -> Cache:
        cache = Cache(model.config, CACHED + JUDGED)
        for layer, of in enumerate(stock.layers):
            cache.update(of.keys, of.values, layer)
        return cache

    return {
        PEER: (model, stock, token),
        "buffer cache": (model, ours(), token),
        "buffer cache, dense kernel": (dense, ours(), token),
        f"buffer cache, tidal with {KEYS} keys": (tidal, ours(), token),
        "the same, dense products by our kernel": (fast, ours(), token),
        "the same, fused": (fuse(copy.deepcopy(fast)), ours(), token),
        "fused, half of the inputs of linear layers skipped": (fuse(sparse), ours(), token),
        "buffer cache, dense kernels, fused": (whole, ours(), token),
    }


def _twin(model: nn.Module) -> Any:
    """A copy whose attention can be set by itself, with the same weights."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})


BENCHMARKS = [Benchmark(NAME, "tokens of SmolLM2-135M behind 8,000 cached ones, part by part, against transformers", points)]
