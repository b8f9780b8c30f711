"""A sealed index as one file."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fewer.errors import FewerError, IndexFileError
from fewer.retrieval.index.index import Index
from fewer.retrieval.index.kinds import kind
from fewer.retrieval.store.arrays_file import ArraysFile, open_arrays, write_arrays


def save_index(index: Index, path: str | Path) -> str:
    """Write any kind of index to one file, whole or not at all; returns the file's digest.

    Raises:
        IndexFileError: the file cannot be written.
    """
    settings = {"index": index.settings(), "how": asdict(index.how)}
    return write_arrays(path, f"index/{index.kind}", settings, index.arrays())


def open_index(path: str | Path, check: bool = True) -> Index:
    """Map an index file into memory; what was tuned before it was saved is as it was.

    Args:
        path: what `save_index` wrote.
        check: compare every array with its checksum, which reads the whole file once.

    Raises:
        IndexFileError: no such file, not an index, of another version, cut short, or damaged.
    """
    return index_of(open_arrays(path, check), str(path))


def index_of(file: ArraysFile, name: str) -> Index:
    """The index that a file holds; `name` is for messages."""
    family, _, of = file.kind.partition("/")
    if family != "index":
        raise IndexFileError(f"{name} holds {file.kind}, not an index.")
    try:
        index: Any = kind(of).from_arrays(file.arrays, file.settings["index"])
        object.__setattr__(index, "how", kind(of).How(**file.settings["how"]))  # an index may be a frozen dataclass
    except (FewerError, KeyError, TypeError, ValueError) as error:
        raise IndexFileError(f"{name} does not hold what an index of kind {of!r} needs ({error}). Build it again.") from None
    return index
