"""Indexes small enough for tests, and a server of them as a process of its own.

python tests/serve/running_server.py FOLDER     serves as `fewer serve FOLDER --port 0` does, with the stand-in dense encoder
"""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from unittest import mock

TEXTS = {
    "fox": ("The fox", "The quick brown fox jumps over the lazy dog."),
    "dog": ("The dog", "A lazy dog sleeps all day long, says the fox."),
    "bird/south": ("Birds", "Birds fly south in winter, & return in <b>spring</b>. 😀 Winter is cold."),
    "snow": ("", "Snow falls in winter."),
}
MEASURED = {
    "k": 10,
    "says": "seismic, the fastest that reaches recall 0.95.",
    "note": "Made up for a test.",
    "kind": "seismic",
    "target": 0.95,
    "series": [
        {"name": "exhaustive", "kind": "dense", "points": [{"recall": 1.0, "ms": 2.0, "scored": 4, "chosen": False}]},
        {"name": "seismic", "kind": "method", "points": [{"recall": 0.9, "ms": 0.1, "scored": 1, "chosen": True}]},
        {"name": "random", "kind": "random", "points": [{"recall": 0.2, "ms": 1.0, "scored": 2, "chosen": False}]},
    ],
}


class Letters:
    """A dense encoder: how often each letter occurs, at unit length."""

    def encode(self, texts):
        import torch

        counts = torch.tensor([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], dtype=torch.float32)
        return torch.nn.functional.normalize(counts + 1e-6, dim=-1).numpy()


@contextlib.contextmanager
def stand_in():
    """The stand-in in place of every dense model."""
    with contextlib.ExitStack() as stack:
        for module in ("build", "text_index"):
            stack.enter_context(mock.patch(f"fewer.retrieval.texts.{module}.dense_model", lambda name, cached=False: Letters()))
        yield


def make_index(folder, dense=True):
    from fewer.data.retrieval import Document
    from fewer.retrieval.texts.build import build
    from fewer.retrieval.texts.sources import Source

    documents = tuple(Document(name, title, text) for name, (title, text) in TEXTS.items())
    with stand_in():
        build(Source("animals", documents), folder, "bm25", "letters" if dense else None, "exact")
    if dense:
        (folder / "measured.json").write_text(json.dumps(MEASURED), encoding="utf-8")


@contextlib.contextmanager
def running(folder, *options):
    """Serves `folder` in a process; gives (process, address)."""
    command = [sys.executable, str(Path(__file__)), str(folder), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            seen = []
            for line in process.stderr:
                seen.append(line)
                if line.startswith("http://"):
                    break
            else:
                raise AssertionError("".join(seen))
            yield process, line.split()[0].rstrip("/")
        finally:
            process.kill()


if __name__ == "__main__":
    from fewer.cli import main

    sys.argv = ["fewer", "serve", sys.argv[1], "--port", "0", *sys.argv[2:]]
    with stand_in():
        main()
