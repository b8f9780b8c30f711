"""An index in shards: the same search, each shard in a process or on a machine of its own."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Int64

from fewer.errors import IndexFileError, RetrievalError, VectorError
from fewer.files import write_whole
from fewer.retrieval.index.index import Hits, options_of
from fewer.retrieval.index.kinds import kind as kind_named
from fewer.retrieval.shards.actors import Shards, connect
from fewer.retrieval.store.index_file import open_index, save_index
from fewer.retrieval.vectors import SparseVectors

_NAME = "shards.json"
_VERSION = 1


class ShardedHits(NamedTuple):
    """What the shards found together."""

    hits: Hits
    """Of those that answered; document numbers are those of the whole."""
    answered: tuple[int, ...]
    """Their numbers."""
    shards: int
    """How many there are."""

    @property
    def partial(self) -> bool:
        """Whether documents of some shard are missing."""
        return len(self.answered) < self.shards


class ShardedIndex:
    """Opened by `build` or `open`; `close` ends the actors. Shard s holds documents starts[s] .. starts[s + 1]."""

    def __init__(self, folder: Path, kind: str, dimension: int, starts: Int64[np.ndarray, " shards+1"]):
        self.folder = folder
        self.kind = kind
        self.dimension = dimension
        self.starts = starts
        self._shards = Shards([_Opener(_path(folder, number)) for number in range(len(starts) - 1)])
        try:
            sizes = self._shards.sizes()
            if sizes != np.diff(starts).tolist():
                raise IndexFileError(
                    f"the shards in {folder} hold {sizes} documents, not {np.diff(starts).tolist()}. Build them again."
                )
        except BaseException:
            self.close()
            raise

    @classmethod
    def build(
        cls,
        vectors: SparseVectors,
        shards: int,
        folder: str | Path,
        kind: str = "impact",
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Divide the rows of `vectors`, build a shard of each piece as a Ray task, and open them all.

        Args:
            vectors: the documents.
            shards: how many, from 1 to the number of documents.
            folder: a new or empty one, that every machine of the cluster sees.
            kind: of index.
            options: of that kind.

        Raises:
            RetrievalError: a number, kind or option out of range.
            IndexFileError: the folder has something in it, or cannot be written.
            MissingExtraError: Ray is not installed.
        """
        if not 1 <= shards <= len(vectors):
            raise RetrievalError(f"shards must be from 1 to the number of documents, {len(vectors)}; given: {shards}.")
        wanted = dict(options or {})
        options_of(kind_named(kind), wanted)
        folder = Path(folder).absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if there := sorted(path.name for path in folder.iterdir()):
                raise IndexFileError(f"{folder} is not empty: it holds {there[0]}. Give a new folder, or open what is there.")
        except OSError as error:
            raise IndexFileError(f"{folder} cannot be written: {error.strerror or error}. Give another folder.") from None
        ray = connect(shards)
        starts = np.linspace(0, len(vectors), shards + 1).astype(np.int64)
        task = ray.remote(num_cpus=1)(_build)
        pieces = [vectors[low:high] for low, high in zip(starts.tolist(), starts.tolist()[1:], strict=False)]
        ray.get([task.remote(piece, kind, wanted, _path(folder, number)) for number, piece in enumerate(pieces)])
        told = {"kind": kind, "dimension": vectors.dimension, "starts": starts.tolist()}
        write_whole(folder / _NAME, json.dumps({"version": _VERSION, "sha256": _sum(told), "shards": told}, indent=1))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Start an actor for each shard that `build` wrote.

        Raises:
            IndexFileError: no shards there, or a file that is missing, damaged or of another version.
            MissingExtraError: Ray is not installed.
        """
        folder = Path(folder).absolute()
        try:
            content = json.loads((folder / _NAME).read_bytes())
            told, version, given = content["shards"], content["version"], content["sha256"]
        except OSError as error:
            raise IndexFileError(f"{folder} holds no shards: {_NAME}: {error.strerror or error}. Build them first.") from None
        except (ValueError, TypeError, KeyError):
            raise IndexFileError(f"{folder / _NAME} is damaged. Restore it from a copy, or build the shards again.") from None
        if version != _VERSION:
            raise IndexFileError(
                f"{folder / _NAME} has version {version}; this fewer reads {_VERSION}. Build the shards again."
            )
        if _sum(told) != given:
            raise IndexFileError(
                f"{folder / _NAME} does not have its checksum. Restore it from a copy, or build the shards again."
            )
        return cls(folder, told["kind"], told["dimension"], np.array(told["starts"], np.int64))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def search(self, queries: SparseVectors, k: int = 10, how: Any = None, timeout: float | None = 10.0) -> ShardedHits:
        """The k best documents of each query by inner product, over all shards that answer.

        Args:
            queries: of the index's dimension, none empty.
            k: 1 .. the number of documents.
            how: as the kind is searched; each shard's own when not given.
            timeout: seconds to wait for the slowest shard; None for ever.

        Raises:
            VectorError: an empty query, or another dimension.
            RetrievalError: k or `how` out of range, or no shard answered.
        """
        of = kind_named(self.kind).How
        if queries.dimension != self.dimension:
            raise VectorError(f"queries have dimension {queries.dimension}, the index {self.dimension}.")
        if len(empty := np.flatnonzero(np.diff(queries.starts) == 0)):
            raise VectorError(f"query {empty[0]} is empty: it has no known term.")
        if not 1 <= k <= len(self):
            raise RetrievalError(f"k must be from 1 to the number of documents, {len(self)}; given: {k}.")
        if how is not None and not isinstance(how, of):
            raise RetrievalError(f"{self.kind} shards are searched with {of.__qualname__}, not {type(how).__qualname__}.")
        answers = self._shards.ask(_Question(queries, k, how), timeout)
        if not answers:
            raise RetrievalError(
                f"none of {len(self._shards)} shards answered (timeout {timeout} s). They restart by themselves; ask again."
            )
        return ShardedHits(_best(answers, self.starts, len(queries), k), tuple(sorted(answers)), len(self._shards))

    def pids(self) -> list[int]:
        """Process number of each shard's actor."""
        return self._shards.pids()

    def close(self) -> None:
        """End the actors; the files stay, and so does the Ray cluster."""
        self._shards.close()


class _Question(NamedTuple):
    queries: SparseVectors
    k: int
    how: Any


@dataclass(frozen=True)
class _Opener:
    path: Path

    def __call__(self) -> "_Serving":
        return _Serving(self.path)


class _Serving:
    """An index in an actor's process."""

    def __init__(self, path: Path):
        self._index = open_index(path)

    def __len__(self) -> int:
        return len(self._index)

    def answer(self, question: _Question) -> Hits:
        return self._index.search(question.queries, min(question.k, len(self._index)), question.how)


def _build(piece: SparseVectors, kind: str, options: dict[str, Any], path: Path) -> None:
    save_index(kind_named(kind).build(piece, **options), path)


def _best(answers: Mapping[int, Hits], starts: np.ndarray, queries: int, k: int) -> Hits:
    """The k best of all answers; of equal scores the lower document number first, nothing last."""
    scores = np.concatenate([answers[shard].scores for shard in sorted(answers)], axis=1)
    numbers = [answers[shard].documents for shard in sorted(answers)]
    documents = np.concatenate(
        [np.where(rows >= 0, rows + starts[shard], -1) for shard, rows in zip(sorted(answers), numbers, strict=True)], axis=1
    )
    order = np.lexsort((documents, -scores, documents < 0), axis=1)[:, :k]
    hits = Hits(np.full((queries, k), -1, np.int64), np.zeros((queries, k), np.float32), np.zeros(queries, np.int64))
    found = order.shape[1]
    hits.documents[:, :found] = np.take_along_axis(documents, order, 1)
    hits.scores[:, :found] = np.take_along_axis(scores, order, 1)
    hits.scored[:] = sum(answer.scored for answer in answers.values())
    return hits


def _path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.index"


def _sum(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
