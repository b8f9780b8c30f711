"""The indexes that a server has, by name."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from fewer.errors import RetrievalError
from fewer.retrieval.texts.text_index import TextIndex, is_index

NAME = r"^[a-z0-9-]{1,64}$"
"""What an index may be called."""
RESERVED = frozenset({"search", "explain", "documents", "merge", "measured", "health", "metrics"})


class UnknownIndexError(RetrievalError):
    """No index of that name is served."""


class Shelf(Mapping[str, TextIndex]):
    """Open indexes; the first is the one that is meant when none is named."""

    def __init__(self, indexes: Mapping[str, TextIndex]):
        if not indexes:
            raise RetrievalError("there is no index to serve.")
        for name in indexes:
            if not re.fullmatch(NAME, name) or name in RESERVED:
                raise RetrievalError(
                    f"an index cannot be called {name!r}: names are a-z, 0-9 and -, and not one of "
                    f"{', '.join(sorted(RESERVED))}."
                )
        self._indexes = dict(indexes)

    @classmethod
    def open(cls, folder: Path, read_only: bool = False) -> "Shelf":
        """The index in `folder`, under the folder's name; or every index in a folder of indexes, under theirs.

        Raises RetrievalError when there is none, or a name does not fit, and IndexFileError or ModelError as `TextIndex.open`.
        """
        if is_index(folder):
            return cls({_fitting(folder.resolve().name): TextIndex.open(folder, read_only)})
        inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and is_index(path)] if folder.is_dir() else []
        if not inside:
            raise RetrievalError(f"{folder} is no index and holds none. Make one: fewer index TEXTS --out {folder}")
        if wrong := [path.name for path in inside if not re.fullmatch(NAME, path.name) or path.name in RESERVED]:
            raise RetrievalError(
                f"an index cannot be served as {wrong[0]!r}: names are a-z, 0-9 and -, and not one of "
                f"{', '.join(sorted(RESERVED))}. Rename its folder."
            )
        opened: dict[str, TextIndex] = {}
        try:
            for path in inside:
                opened[path.name] = TextIndex.open(path, read_only)
        except BaseException:
            for index in opened.values():
                index.close()
            raise
        return cls(opened)

    def __getitem__(self, name: str) -> TextIndex:
        if name not in self._indexes:
            raise UnknownIndexError(f"no index is called {name!r}; there are: {', '.join(self._indexes)}.")
        return self._indexes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._indexes)

    def __len__(self) -> int:
        return len(self._indexes)

    @property
    def first(self) -> str:
        """The name of the index that is meant when none is named."""
        return next(iter(self._indexes))

    def close(self) -> None:
        """Close all."""
        for index in self._indexes.values():
            index.close()


def _fitting(folder: str) -> str:
    """A folder's name made to fit; "index" where nothing of it does."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:64]
    return f"{name}-index" if name in RESERVED else name or "index"
