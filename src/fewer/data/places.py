"""Where files lie on this machine: the user's own folders, and the cache."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fewer.errors import DataError


@dataclass(frozen=True)
class Places:
    """The folders that sources look into."""

    data: Path | None
    """The user's data sets, a folder each; None when the user named none."""
    models: Path | None
    """The user's models, a folder each; None when the user named none."""
    cache: Path
    """Verified downloads, and what was made of them. Made on first use."""

    @classmethod
    def find(cls, folder: str | os.PathLike[str] | None = None) -> Self:
        """Reads FEWER_DATA, FEWER_MODELS and FEWER_CACHE; `folder` stands for the first two when given.

        Raises DataError when a folder that the user named does not exist: to go on without it would be a silent fallback.
        """
        return cls(
            data=_named(folder, "FEWER_DATA"),
            models=_named(folder, "FEWER_MODELS"),
            cache=_cache(),
        )


def _named(folder: str | os.PathLike[str] | None, variable: str) -> Path | None:
    said_by, text = ("--data", os.fspath(folder)) if folder is not None else (variable, os.environ.get(variable, ""))
    if not text:
        return None
    path = Path(text).expanduser()
    if not path.is_dir():
        raise DataError(f"{said_by} names {path}, which is not a folder. Name an existing folder, or unset it.")
    return path


def _cache() -> Path:
    if own := os.environ.get("FEWER_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "fewer"
