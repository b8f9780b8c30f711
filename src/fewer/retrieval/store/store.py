"""The mutable index on disk: documents come and go, are searched at once, and outlast a crash.

Segments (sealed indexes with their documents) are named by a manifest that is replaced in one step. What came since is in a
write-ahead log and in memory, where it is searched exactly, until it is sealed into a segment of its own. Deleting marks.
Merging writes one segment for several and swaps it in. A search sees one moment of all this and never waits.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from filelock import FileLock, Timeout

from fewer.errors import FewerError, IndexFileError, RetrievalError, VectorError
from fewer.retrieval.index.index import options_of
from fewer.retrieval.index.kinds import kind as kind_named
from fewer.retrieval.store.arrays_file import open_arrays, write_arrays
from fewer.retrieval.store.batch import Batch, check_ids
from fewer.retrieval.store.documents import StoredDocument, hashed
from fewer.retrieval.store.fresh import Fresh
from fewer.retrieval.store.log import Log, Read, read_log
from fewer.retrieval.store.manifest import NAME as MANIFEST
from fewer.retrieval.store.manifest import Entry, Manifest, is_ours, read_manifest, remove_leftovers, write_manifest
from fewer.retrieval.store.merging import SEALED_AT, merged, worth_merging
from fewer.retrieval.store.segment import Part, open_segment, write_segment
from fewer.retrieval.store.strings import Strings
from fewer.retrieval.store.view import Match, View
from fewer.retrieval.vectors import SparseVectors

_LARGEST_LOG = 64 << 20
_LONGEST_ABOUT = 1 << 20
_WIDEST = 1 << 16
_TRIES = 20
"""A reader whose files are merged away while it opens them begins again."""


class Store:
    """Opened by `Store.create` or `Store.open`; one process at a time writes, any number read. Threads may share it.

    Every method may raise RetrievalError when the store is closed, and IndexFileError when the disk fails.
    """

    def __init__(self, folder: Path, manifest: Manifest, state: "_State", lock: FileLock | None, log: Log | None):
        self.folder = folder
        self.torn = state.log.torn
        """Bytes of a record that a crash cut off, dropped when the store was opened; it was never acknowledged."""
        self._manifest = manifest
        self._view = state.view
        self._recorded = {part.segment.number: part.alive for part in state.recorded}
        """Of each segment, what is alive as far as the manifest knows."""
        self._lock = lock
        self._log = log
        self._writing = threading.RLock()
        self._merging = threading.Lock()
        self._background: threading.Thread | None = None
        self._trouble: str | None = None
        self._closed = False

    @classmethod
    def create(
        cls,
        folder: str | Path,
        dimension: int,
        kind: str = "impact",
        dense_width: int = 0,
        about: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """A new, empty store, open for writing.

        Args:
            folder: a new or an empty one.
            dimension: of the sparse vectors.
            kind: of the index that segments are sealed into.
            dense_width: of the dense vectors; 0 for none.
            about: anything as JSON that should stay with the store, such as the encoder's name.
            options: of the kind of index.

        Raises:
            RetrievalError: an unknown kind or option, or a number out of range.
            IndexFileError: the folder has something in it, or cannot be written.
        """
        given, wanted = dict(about or {}), dict(options or {})
        options_of(kind_named(kind), wanted)
        if not 1 <= dimension < 2**31:
            raise RetrievalError(f"the dimension must be from 1 to 2^31 - 1; given: {dimension}.")
        if not 0 <= dense_width <= _WIDEST:
            raise RetrievalError(f"the width of dense vectors must be from 0 to {_WIDEST}; given: {dense_width}.")
        try:
            for what in (given, wanted):
                if (size := len(encoded := json.dumps(what, allow_nan=False))) > _LONGEST_ABOUT:
                    raise RetrievalError(f"about and options take at most {_LONGEST_ABOUT} characters as JSON; given: {size}.")
                if json.loads(encoded) != what:
                    raise TypeError("keys must be strings, and values lists, numbers, strings or objects")
        except (TypeError, ValueError) as error:
            raise RetrievalError(f"about and options must be JSON: {error}.") from None
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IndexFileError(f"{folder} cannot be written: {error.strerror or error}. Give another folder.") from None
        _check_new(folder)
        lock = _locked(folder)
        try:
            _check_new(folder)
            Log.create(_log_path(folder, 1)).close()
            write_manifest(folder, Manifest(dimension, kind, dense_width, given, wanted, (), log=1, next=2))
        finally:
            lock.release()
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path, read_only: bool = False, check: bool = True) -> Self:
        """A store that is there; what was acknowledged before a crash is in it.

        Args:
            folder: of the store.
            read_only: see it as it is now, beside the process that writes; nothing in the folder is touched.
            check: compare all files with their checksums, which reads them once (some gigabytes a second).

        Raises:
            IndexFileError: no store, another process writes to it, another version, or a file is missing or damaged.
        """
        folder = Path(folder)
        if read_only:
            for tried in range(_TRIES):
                manifest = read_manifest(folder)
                try:
                    return cls(folder, manifest, _read(folder, manifest, check), None, None)
                except (IndexFileError, FileNotFoundError):
                    if read_manifest(folder) == manifest or tried == _TRIES - 1:
                        raise
        read_manifest(folder)  # no lock is left in a folder that is no store
        lock = _locked(folder)
        try:
            manifest = read_manifest(folder)
            state = _read(folder, manifest, check)
            remove_leftovers(folder, manifest)
            log = Log(_log_path(folder, manifest.log), state.log.salt, state.log.end)
        except BaseException:
            lock.release()
            raise
        return cls(folder, manifest, state, lock, log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._view)

    @property
    def dimension(self) -> int:
        return self._manifest.dimension

    @property
    def dense_width(self) -> int:
        return self._manifest.dense_width

    @property
    def kind(self) -> str:
        return self._manifest.kind

    @property
    def about(self) -> dict[str, Any]:
        """What `create` was given."""
        return self._manifest.about

    def add(
        self,
        ids: Sequence[str],
        vectors: SparseVectors,
        titles: Sequence[str],
        texts: Sequence[str],
        dense: np.ndarray | None = None,
    ) -> None:
        """Add documents; one whose id is there is replaced. On disk and found by searches when this returns.

        Args:
            ids: any strings of 1 to 512 bytes, each once.
            vectors: a row for each; a row may be empty, and is then found by no sparse search.
            titles: one for each, up to 64 KiB.
            texts: one for each, up to 16 MiB.
            dense: float32 of shape (documents, dense_width), in a store with dense vectors.

        Raises:
            RetrievalError, VectorError: what does not fit; nothing of the call was kept.
        """
        self._open_log()
        batch = Batch.checked(ids, vectors, titles, texts, dense, self.dimension, self.dense_width)
        with self._writing:
            log = self._open_log()
            if not len(batch):
                return
            if len(batch) + len(self._view.fresh) >= SEALED_AT or batch.bytes + log.end > _LARGEST_LOG:
                self._seal(_with(self._view, batch))
            else:
                log.append("add", batch.arrays())
                self._view = _with(self._view, batch)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete documents, and say how many there were. Ids that are not there are passed over.

        Raises:
            RetrievalError: an id that none can be, or one given twice.
        """
        strings = check_ids(ids)
        with self._writing:
            log = self._open_log()
            before = len(self._view)
            after = _without(self._view, ids)
            if len(after) < before:
                log.append("delete", strings.arrays("ids"))
                self._view = after
                if log.end > _LARGEST_LOG:
                    self._seal(self._view)
                self._merge_behind()
            return before - len(after)

    def search(self, queries: SparseVectors, k: int = 10, how: Any = None) -> list[list[Match]]:
        """The k documents with the largest inner products for each query, best first; fewer where fewer share a term with it.

        Args:
            queries: of the store's dimension, none empty.
            k: 1 .. the number of documents.
            how: as the kind of index is searched (its `How`); its default when not given.

        Raises:
            VectorError: an empty query, or another dimension.
            RetrievalError: k or `how` out of range, or an empty store.
        """
        if queries.dimension != self.dimension:
            raise VectorError(f"queries have dimension {queries.dimension}, the store {self.dimension}.")
        of = kind_named(self.kind).How
        if how is not None and not isinstance(how, of):
            raise RetrievalError(
                f"a store of {self.kind} indexes is searched with {of.__qualname__}, not {type(how).__qualname__}."
            )
        return self._open_view().search(queries, k, how)

    def search_dense(self, queries: np.ndarray, k: int = 10) -> list[list[Match]]:
        """The k largest inner products with the dense vectors, of all documents.

        Args:
            queries: float32 of shape (queries, dense_width).
            k: 1 .. the number of documents.

        Raises:
            VectorError: another shape, or not finite.
            RetrievalError: a store without dense vectors, an empty one, or k out of range.
        """
        if not self.dense_width:
            raise RetrievalError("this store has no dense vectors: it was created with dense_width=0.")
        given = np.asarray(queries, np.float32)
        if given.ndim != 2 or given.shape[1] != self.dense_width or not np.isfinite(given).all():
            raise VectorError(f"dense queries must be finite and of shape (queries, {self.dense_width}); given: {given.shape}.")
        return self._open_view().search_dense(given, k)

    def document(self, name: str) -> StoredDocument:
        """The document of that id. Raises RetrievalError when there is none."""
        if (found := self._open_view().document(name)) is None:
            raise RetrievalError(f"the store has no document {name[:80]!r}.")
        return found

    def __contains__(self, name: str) -> bool:
        return self._open_view().place(name) is not None

    def merge(self) -> None:
        """Make one segment of all there is, without the deleted; searches, adding and deleting go on meanwhile.

        Takes the memory of the vectors and texts. Segments are merged in the background anyway, some at a time; one segment is
        searched faster than several.
        """
        with self._merging:
            with self._writing:
                self._open_log()
                self._trouble = None
                if len(self._view.fresh):
                    self._seal(self._view)
                chosen = list(self._view.parts)
            if len(chosen) > 1 or any(len(part) < len(part.segment) for part in chosen):
                self._merge(chosen)

    def close(self) -> None:
        """Let the lock go; waits for a merge in the background. Twice is once."""
        with self._writing:
            self._closed = True
        if self._background is not None:
            self._background.join()
        with self._merging, self._writing:
            if self._log is not None:
                self._log.close()
            if self._lock is not None:
                self._lock.release()

    def describe(self) -> dict[str, Any]:
        """Counts, bytes and state, as JSON."""
        view = self._open_view()
        deleted = sum(len(part.segment) - len(part) for part in view.parts)
        return {
            "folder": str(self.folder),
            "kind": self.kind,
            "dimension": self.dimension,
            "dense_width": self.dense_width,
            "documents": len(view),
            "segments": len(view.parts),
            "fresh": len(view.fresh),
            "deleted": deleted,
            "bytes": sum(part.segment.bytes for part in view.parts) + (0 if self._log is None else self._log.end),
            "torn_bytes": self.torn,
            "merging": self._background is not None and self._background.is_alive(),
            "trouble": self._trouble,
            "read_only": self._lock is None,
            "about": self.about,
        }

    def _open_view(self) -> View:
        if self._closed:
            raise RetrievalError(f"the store in {self.folder} is closed. Open it again.")
        return self._view

    def _open_log(self) -> Log:
        self._open_view()
        if self._log is None:
            raise RetrievalError(f"the store in {self.folder} was opened with read_only=True.")
        return self._log

    def _number(self) -> int:
        """For a new file."""
        with self._writing:
            number = self._manifest.next
            self._manifest = replace(self._manifest, next=number + 1)
            return number

    def _seal(self, view: View) -> None:
        """Make `view` what the store holds, its fresh documents a segment, and begin a new log. Under the writing lock."""
        parts = view.parts
        if len(view.fresh):
            batch = view.fresh.living()
            parts += (Part(write_segment(self.folder, self._number(), batch, self.kind, self._manifest.options)),)
        number = self._number()
        log = Log.create(_log_path(self.folder, number))
        old = self._log
        self._commit(View(parts, Fresh.empty(self.dimension, self.dense_width)), number)
        self._log = log
        if old is not None:
            old.close()
        self._merge_behind()

    def _merge(self, chosen: list[Part]) -> None:
        """One segment for several. Under the merging lock, without the writing lock but for the last step."""
        rows = [part.rows() for part in chosen]
        segment = None
        if sum(len(taken) for taken in rows):
            segment = write_segment(self.folder, self._number(), merged(chosen, rows), self.kind, self._manifest.options)
        with self._writing:
            now = {part.segment.number: part for part in self._view.parts}
            alive = [
                np.isin(taken, now.pop(part.segment.number).rows(), assume_unique=True)
                for part, taken in zip(chosen, rows, strict=True)
            ]
            parts = list(now.values())
            if segment is not None:
                parts.append(Part(segment).without(np.flatnonzero(~np.concatenate(alive))))
            self._commit(View(tuple(part for part in parts if len(part)), self._view.fresh), self._manifest.log)

    def _commit(self, view: View, log: int) -> None:
        """Write what is deleted, then the manifest: with it the new state holds, and what only the old one needed goes."""
        before = {entry.number: entry for entry in self._manifest.entries}
        entries = []
        for part in view.parts:
            number = part.segment.number
            entry = before.get(number, Entry(number, part.segment.digests, None, None))
            if part.alive is not None and self._recorded.get(number) is not part.alive:
                deleted = self._number()
                digest = write_arrays(_deleted_path(self.folder, deleted), "deleted", {}, {"rows": np.flatnonzero(~part.alive)})
                entry = entry._replace(deleted=deleted, deleted_digest=digest)
            entries.append(entry)
        old, new = self._manifest, replace(self._manifest, entries=tuple(entries), log=log)
        try:
            write_manifest(self.folder, new)
        except FewerError:
            if read_manifest(self.folder) != new:  # it may have failed after it took its name
                raise
        self._manifest = new
        self._recorded = {part.segment.number: part.alive for part in view.parts}
        self._view = view
        for name in old.names() - new.names():
            # Readers that map a removed file keep it; where the system refuses, the next opening removes it.
            with suppress(OSError):
                (self.folder / name).unlink()

    def _merge_behind(self) -> None:
        """Start a merge in the background when one is due and none is running."""
        running = self._background is not None and self._background.is_alive()
        if not running and not self._closed and not self._trouble and worth_merging(self._view.parts):
            self._background = threading.Thread(target=self._merge_all_due, name="fewer-merge", daemon=True)
            self._background.start()

    def _merge_all_due(self) -> None:
        with self._merging:
            try:
                while not self._closed and (due := worth_merging(self._view.parts)):
                    self._merge(due)
            except (FewerError, OSError, MemoryError) as error:
                self._trouble = f"merging failed: {error}"


class _State(NamedTuple):
    """What a folder holds."""

    view: View
    recorded: list[Part]
    """The segments with the deletions that the manifest knows of; those of the log are in the view alone."""
    log: Read


def _with(view: View, batch: Batch) -> View:
    """With those documents, each in place of the one that had its id."""
    ids = [batch.documents.ids[row] for row in range(len(batch))]
    return View(_without(view, ids).parts, view.fresh.with_batch(batch))


def _without(view: View, ids: Sequence[str]) -> View:
    hashes = hashed(ids)
    parts = []
    for part in view.parts:
        rows = part.find(hashes, ids)
        parts.append(part.without(rows[rows >= 0]))
    return View(tuple(parts), view.fresh.without(ids))


def _read(folder: Path, manifest: Manifest, check: bool) -> _State:
    parts = []
    for entry in manifest.entries:
        part = Part(open_segment(folder, entry.number, entry.digests, check))
        if entry.deleted is not None:
            path = _deleted_path(folder, entry.deleted)
            deleted = open_arrays(path)
            if deleted.digest != entry.deleted_digest:
                raise IndexFileError(f"{path} is not the file that this store wrote. Restore the store's folder from a copy.")
            part = part.without(deleted.arrays["rows"])
        parts.append(part)
    view = View(tuple(parts), Fresh.empty(manifest.dimension, manifest.dense_width))
    path = _log_path(folder, manifest.log)
    try:
        log = read_log(path)
    except FileNotFoundError:
        raise IndexFileError(f"{path} is missing. Restore the store's folder from a copy.") from None
    for record in log.records:
        if record.kind == "add":
            view = _with(view, Batch.from_arrays(record.arrays, manifest.dimension))
        else:
            ids = Strings.from_arrays("ids", record.arrays)
            view = _without(view, [ids[row] for row in range(len(ids))])
    return _State(view, parts, log)


def _check_new(folder: Path) -> None:
    if foreign := sorted(path.name for path in folder.iterdir() if not is_ours(path.name)):
        what = "a store already; open it" if foreign == [MANIFEST] else f"other files ({foreign[0]})"
        raise IndexFileError(f"{folder} holds {what}, or give a new folder.")


def _locked(folder: Path) -> FileLock:
    lock = FileLock(folder / "writer.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise IndexFileError(f"another process writes to {folder}. Wait for it, or open with read_only=True.") from None
    except OSError as error:
        raise IndexFileError(f"{folder} cannot be written: {error.strerror or error}. Open with read_only=True.") from None
    return lock


def _log_path(folder: Path, number: int) -> Path:
    return folder / f"{number:010d}.log"


def _deleted_path(folder: Path, number: int) -> Path:
    return folder / f"{number:010d}.deleted"
