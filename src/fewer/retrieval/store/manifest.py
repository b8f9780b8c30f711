"""The manifest: the one file that says which others make up a store. Replaced whole, so that a store changes in one step."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fewer.errors import IndexFileError
from fewer.files import write_whole
from fewer.retrieval.store.segment import Digests

VERSION = 1
NAME = "manifest.json"
_PART = re.compile(r"\d{10}\.(index|documents|deleted|log)")
_TEMPORARY = re.compile(rf"\.(\d{{10}}\.(index|documents|deleted)|{re.escape(NAME)})\.\w+")


class Entry(NamedTuple):
    """A segment. Files are named by numbers, and by nothing that a user gave: a manifest cannot point out of its folder."""

    number: int
    digests: Digests
    deleted: int | None
    """Number of the file that says which documents are deleted; None while none is."""
    deleted_digest: str | None


@dataclass(frozen=True)
class Manifest:
    """What a store is, and where its documents are."""

    dimension: int
    kind: str
    dense_width: int
    about: dict[str, Any]
    options: dict[str, Any]
    """Of the index kind."""
    entries: tuple[Entry, ...]
    log: int
    """Number of the log."""
    next: int
    """No file has this number or a larger one."""

    def names(self) -> set[str]:
        """Of the files that belong to the store."""
        found = {f"{self.log:010d}.log"}
        for entry in self.entries:
            found |= {f"{entry.number:010d}.index", f"{entry.number:010d}.documents"}
            if entry.deleted is not None:
                found.add(f"{entry.deleted:010d}.deleted")
        return found


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Raises IndexFileError when the disk is full or the folder gone; the manifest before stays."""
    told = asdict(manifest)
    content = {"format": "fewer store", "version": VERSION, "sha256": _sum(told), "store": told}
    try:
        write_whole(folder / NAME, json.dumps(content, indent=1))
    except OSError as error:
        raise IndexFileError(f"{folder / NAME} cannot be written: {error.strerror or error}. Free some space.") from None


def read_manifest(folder: Path) -> Manifest:
    """Raises IndexFileError: no store, of another version, or damaged."""
    path = folder / NAME
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise IndexFileError(f"{folder} holds no store: there is no {NAME}. Create one, or give another folder.") from None
    except OSError as error:
        raise IndexFileError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise IndexFileError(f"{path} is damaged: {error}. {_RESTORE}") from None
    if not isinstance(content, Mapping) or content.get("format") != "fewer store":
        raise IndexFileError(f"{path} is no manifest of a store. {_RESTORE}")
    if content.get("version") != VERSION:
        raise IndexFileError(
            f"{path} has version {content.get('version')}; this fewer reads {VERSION}. Open it with the fewer that wrote it."
        )
    told: Any = content.get("store")
    if _sum(told) != content.get("sha256"):
        raise IndexFileError(f"{path} is damaged or was changed by hand: it does not have its checksum. {_RESTORE}")
    entries = tuple(Entry(number, Digests(*digests), *deleted) for number, digests, *deleted in told["entries"])
    return Manifest(**{**told, "entries": entries})


def remove_leftovers(folder: Path, manifest: Manifest) -> None:
    """Remove files that a crash or a merge left: those with names as ours that the manifest does not have. Others stay."""
    keep = manifest.names()
    for path in folder.iterdir():
        ours = _PART.fullmatch(path.name) and path.name not in keep
        if ours or _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def is_ours(name: str) -> bool:
    """Whether a store may have left a file of this name."""
    return bool(_PART.fullmatch(name) or _TEMPORARY.fullmatch(name) or name == "writer.lock")


_RESTORE = "Restore the store's folder from a copy."


def _sum(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
