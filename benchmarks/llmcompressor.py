"""One-shot pruning of SmolLM2-135M beside llm-compressor, which runs in an environment and a process of its own.

Both sides have the same float32 weights, calibration tokens, threads and sparsity: 2:4, or 50% in each row. For SparseGPT the
peer chooses its 50% over all rows of 128 columns at once and walks block by block; a point of its own does all as it does.
Timed is what `fewer.prune` and `oneshot` do with a loaded model and tokens at hand, putting the dense weights back included;
not imports, loading or saving. The peer waits for requests, so the two never run at once. Its settings are its own:
pipeline="sequential" (two forward passes over each block), batches of one sequence, dampening_frac=0.01, block_size=128,
lm_head ignored. Quality is held-out perplexity, measured by our code.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from fewer.data.models import load_causal_lm
from fewer.data.places import Places
from fewer.errors import MissingExtraError
from fewer.measure.benchmark import Benchmark, Point, pair
from fewer.measure.quality import perplexity
from fewer.weights.calibration import draw_tokens, spread_windows, text_of, tokens_of
from fewer.weights.prune import prune

PEER = "llmcompressor==0.14.0.1"
SEQUENCES, LENGTH, WINDOWS, ROUNDS = 16, 512, 16, 3
SETTINGS = {
    "wanda, 50% of rows": ("wanda", "row", "layer", "0:0"),
    "wanda, 2:4": ("wanda", "2:4", "layer", "2:4"),
    "sparsegpt, 50% of rows": ("sparsegpt", "row", "layer", "0:0"),
    "sparsegpt, 50% of 128 columns, block by block": ("sparsegpt", "layer", "block", "0:0"),
    "sparsegpt, 2:4": ("sparsegpt", "2:4", "layer", "2:4"),
}
"""Method, our pattern and mode of the walk, the peer's name of the pattern ("0:0": unstructured)."""


def run() -> Iterator[Point]:
    """Wanda and SparseGPT at 50% and 2:4, ours and the peer's in turn."""
    python = environment()
    model, tokenizer = load_causal_lm("smollm2-135m")
    dense = [p.detach().clone() for p in model.parameters()]
    tokens = draw_tokens(tokenizer, text_of(None, "calibration")[1], SEQUENCES, LENGTH, seed=0)
    test = spread_windows(tokens_of(tokenizer, text_of(None, "test")[1]), LENGTH, WINDOWS)

    def ours(method: str, pattern: str, mode: Any, sequences: int) -> None:
        with torch.no_grad():
            for parameter, original in zip(model.parameters(), dense, strict=True):
                parameter.copy_(original)
        prune(model, method, density=0.5, pattern=pattern, calibration=tokens[:sequences], mode=mode)

    with tempfile.TemporaryDirectory() as made, worker(python, Path(made), model, tokenizer, tokens) as ask:
        ask(method="wanda", structure="0:0", sequences=1)  # imports and first allocations are no one's work
        for at, (method, pattern, mode, structure) in SETTINGS.items():
            ours(method, pattern, mode, 1)  # nor is compiling
            point = pair(
                "llmcompressor",
                f"{at}, {SEQUENCES} x {LENGTH} tokens",
                lambda: ours(method, pattern, mode, SEQUENCES),  # noqa: B023 - called before the next turn
                lambda: ask(method=method, structure=structure, sequences=SEQUENCES),  # noqa: B023
                PEER,
                repeats=ROUNDS,
                warmup=0,
            )
            mine = perplexity(model, test).perplexity
            ask(save=str(Path(made, "pruned.safetensors")))
            model.load_state_dict(load_file(Path(made, "pruned.safetensors")))
            yield replace(point, quality_ours=mine, quality_peer=perplexity(model, test).perplexity)


@contextmanager
def worker(python: Path, folder: Path, model: Any, tokenizer: Any, tokens: torch.Tensor) -> Iterator[Any]:
    """The peer's process, with these weights and tokens: a call that asks it and waits."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file({"tokens": tokens}, folder / "tokens.safetensors")
    script = Path(__file__).with_name("peers") / "llmcompressor_worker.py"
    log = (folder / "log").open("w+")
    process = subprocess.Popen(
        [python, "-I", script, folder, str(torch.get_num_threads())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None

    def answer() -> None:
        if not process.stdout.readline():  # type: ignore[union-attr]
            log.seek(0)
            raise RuntimeError(f"{PEER} ended:\n{log.read()[-3000:]}")

    def ask(**request: Any) -> None:
        process.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        answer()

    try:
        answer()
        yield ask
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        log.close()


def environment() -> Path:
    """The peer's Python: a virtual environment in fewer's cache, made when it is first asked for (a gigabyte, minutes).

    Raises:
        MissingExtraError: it could not be made; says how to make it by hand.
    """
    folder = Places.find().cache / "peers" / PEER.replace("==", "-")
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.exists():
        return python
    wanted = [PEER, f"torch=={torch.__version__}"]  # the same build of torch on both sides
    print(f"making an environment for {PEER} in {folder}", file=sys.stderr, flush=True)
    steps: list[list[Any]] = [
        [sys.executable, "-m", "venv", "--clear", folder],
        [python, "-I", "-m", "pip", "install", "--quiet", *wanted],
        [python, "-I", "-c", "import llmcompressor"],
    ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            raise MissingExtraError(
                f"the llmcompressor benchmark needs an environment of its own, because the peer pins other versions; making it "
                f"failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}\nMake it by hand, then create the empty "
                f"file {ready}:\n  {sys.executable} -m venv {folder}\n  {python} -m pip install {' '.join(wanted)}"
            )
    ready.touch()
    return python


BENCHMARKS = [Benchmark("llmcompressor", "Wanda and SparseGPT on SmolLM2-135M beside llm-compressor: time, perplexity", run)]
