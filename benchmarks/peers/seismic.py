"""pyseismic-lsr through its integer API: builds that are kept, and searches with as little Python around them as it allows."""

import hashlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fewer.data.places import Places
from fewer.errors import MissingExtraError
from fewer.files import write_whole
from fewer.retrieval.vectors import SparseVectors

NAME = "pyseismic-lsr"


@dataclass(frozen=True)
class Build:
    """What its `build` is told; its own defaults."""

    n_postings: int = 3500
    """Postings kept, on average over all components."""
    centroid_fraction: float = 0.1
    summary_energy: float = 0.4
    max_fraction: float = 1.5
    """The longest list, in `n_postings`."""


@dataclass(frozen=True)
class How:
    """What its `search` is told."""

    query_cut: int
    heap_factor: float


class Built(NamedTuple):
    """An index, and what it took."""

    index: Any
    seconds: float
    """To build, on one thread, the file that it reads not counted."""
    bytes: int
    """Of its file."""


SEARCHES = tuple(
    How(cut, factor)
    for cut, factor in itertools.product((2, 3, 4, 5, 6, 8, 10, 12, 15), (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0))
)
"""Its guidelines name cuts to about 10 and factors from .7 to 1; wider on both sides."""


def module() -> Any:
    """The package, its thread pool told to have one thread. Raises MissingExtraError when it is not installed."""
    os.environ["RAYON_NUM_THREADS"] = "1"
    try:
        import seismic
    except ImportError:
        raise MissingExtraError(
            f'the benchmark needs its peer {NAME}, which is not installed: pip install "fewer[peers]".'
        ) from None
    return seismic


def grid(documents: SparseVectors) -> tuple[Build, ...]:
    """Builds worth measuring: its defaults, shorter and longer lists, and its guidelines for recalls of .99.

    Where one takes many minutes, those that were at the front when others were tried: at 2,000,000 documents 1000 postings a
    list reach a recall of .894.
    """
    if len(documents) > 1_000_000:
        return (Build(2000), Build(4000))
    if len(documents) > 200_000:
        return (Build(1000), Build(2000))
    return (Build(), Build(1000), Build(400, max_fraction=6), Build(1000, 0.2, 0.5, 6))


def built(documents: SparseVectors, build: Build) -> Built:
    """From the cache folder, or built and put there; says on standard error what it does."""
    seismic = module()
    file = place(documents, build)
    note, source = file.with_suffix(".json"), file.with_suffix(".bin")
    if file.exists() and note.exists():
        with _quiet_output():
            index = seismic.SeismicIndexRaw.load(str(file))
        return Built(index, json.loads(note.read_text())["seconds"], file.stat().st_size)
    said = asdict(build)
    print(f"{NAME}: building an index of {len(documents):,} documents on one thread, {said}", file=sys.stderr, flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(source, documents)
        with _quiet_output():
            began = time.perf_counter()
            index = seismic.SeismicIndexRaw.build(str(source), **said)
            seconds = time.perf_counter() - began
            index.save(str(file))
    finally:
        source.unlink(missing_ok=True)
    print(f"{NAME}: built in {seconds:.1f} s", file=sys.stderr, flush=True)
    # Written last: a file without it is not trusted.
    write_whole(note, json.dumps({"seconds": seconds, "documents": len(documents)} | said))
    return Built(index, seconds, file.stat().st_size)


def place(documents: SparseVectors, build: Build) -> Path:
    """The file of a build of these documents, whether it is there or not."""
    said = json.dumps(asdict(build), sort_keys=True)
    key = hashlib.sha256(f"{content(documents)} {said}".encode()).hexdigest()[:20]
    return Places.find().cache / "peers" / f"{NAME}-{_version()}" / f"{key}.index"


def calls(index: Any, queries: SparseVectors, how: How, k: int = 10) -> list[Callable[[], list[tuple[float, int]]]]:
    """One call a query, its arrays at hand."""
    rows = [queries.row(number) for number in range(len(queries))]
    return [_call(index.search, *row, k, how.query_cut, how.heap_factor) for row in rows]


def found(index: Any, queries: SparseVectors, how: How, k: int = 10) -> np.ndarray:
    """Document numbers, -1 where it found fewer than k: (queries, k)."""
    result = np.full((len(queries), k), -1, np.int64)
    for number, call in enumerate(calls(index, queries, how, k)):
        hits = call()
        result[number, : len(hits)] = [document for _, document in hits]
    return result


def _call(search: Any, components: np.ndarray, values: np.ndarray, k: int, cut: int, factor: float) -> Callable[[], Any]:
    return lambda: search(components, values, k, cut, factor, 0, True)


@contextmanager
def _quiet_output() -> Iterator[None]:
    """Rust writes to standard output, which belongs to our results: it goes nowhere meanwhile."""
    sys.stdout.flush()
    held, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(held, 1)
        os.close(held)
        os.close(nowhere)


def _version() -> str:
    from importlib.metadata import version

    return version(NAME)


def content(vectors: SparseVectors) -> str:
    """A hash of vectors."""
    held = hashlib.sha256(str(vectors.dimension).encode())
    for array in (vectors.starts, vectors.components, vectors.values):
        held.update(np.ascontiguousarray(array).view(np.uint8).data)
    return held.hexdigest()


def _write(path: Path, vectors: SparseVectors) -> None:
    """Its own form: the number of rows, then each row's length, components and values, 32 bits each."""
    lengths = np.diff(vectors.starts)
    with path.open("wb") as file:
        file.write(np.uint32(len(vectors)).tobytes())
        for low in range(0, len(vectors), 100_000):
            part = vectors[low : low + 100_000]
            lengths = np.diff(part.starts)
            words = np.empty(len(part) + 2 * int(part.starts[-1]), np.uint32)
            heads = 2 * part.starts[:-1] + np.arange(len(part))
            words[heads] = lengths
            inner = np.arange(part.starts[-1]) - np.repeat(part.starts[:-1], lengths)
            places = np.repeat(heads + 1, lengths) + inner
            words[places] = part.components
            words[places + np.repeat(lengths, lengths)] = part.values.view(np.uint32)
            file.write(words.tobytes())
