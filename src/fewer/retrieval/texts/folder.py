"""A folder of text files as documents."""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fewer.data.retrieval import Document
from fewer.errors import RetrievalError
from fewer.retrieval.texts.passages import passages

# fmt: off
SUFFIXES = frozenset((
    ".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".org", ".tex", ".log", ".py", ".pyi", ".js", ".ts",
    ".jsx", ".tsx", ".java", ".kt", ".scala", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".go", ".rs", ".rb",
    ".php", ".swift", ".r", ".jl", ".lua", ".pl", ".sh", ".sql", ".toml", ".yaml", ".yml", ".ini", ".cfg"
))
# fmt: on
"""Names of files that are read; all others are left alone."""
LARGEST = 4_000_000
"""Bytes; a larger file is skipped, and named."""
_LEFT = frozenset({"node_modules", "site-packages", "__pycache__", "venv"})


@dataclass(frozen=True)
class Skipped:
    """A file that should have been read and was not."""

    path: str
    why: str


@dataclass(frozen=True)
class Reading:
    """What a folder or file came to."""

    documents: tuple[Document, ...]
    """Passages: `guide.md`, or `guide.md#2` for the second passage of a long file; the title is the file's path."""
    skipped: tuple[Skipped, ...]

    @property
    def complaint(self) -> str:
        """One line about what was skipped; empty when nothing was."""
        reasons: dict[str, list[str]] = defaultdict(list)
        for file in self.skipped:
            reasons[file.why].append(file.path)
        said = "; ".join(
            f"{len(paths)} {why} ({', '.join(paths[:3])}{', ...' if len(paths) > 3 else ''})" for why, paths in reasons.items()
        )
        return f"skipped: {said}" if said else ""


def read_folder(folder: str | os.PathLike[str]) -> Reading:
    """Every text file below `folder`, in order of path; hidden ones and those of installed packages are left out.

    Raises RetrievalError when there is no text in it.
    """
    root = Path(folder)
    documents: list[Document] = []
    skipped: list[Skipped] = []
    for path in _files(root):
        found = read_file(path, path.relative_to(root).as_posix())
        documents += found.documents
        skipped += found.skipped
    reading = Reading(tuple(documents), tuple(skipped))
    if not documents:
        advice = "Read are files such as .txt, .md, .rst and .py, not hidden ones."
        raise RetrievalError(f"{root} holds no text to index. {advice} {reading.complaint}".rstrip())
    return reading


def read_file(path: Path, name: str) -> Reading:
    """One text file under the given name: its passages, or why it was skipped."""
    try:
        if path.stat().st_size > LARGEST:
            return _skip(name, f"above {LARGEST // 1_000_000} MB")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        return _skip(name, "not in UTF-8")
    except OSError as error:
        return _skip(name, f"not readable: {error.strerror}")
    if "\0" in text:
        return _skip(name, "not text")
    parts = passages(text)
    return Reading(
        tuple(Document(name if number == 1 else f"{name}#{number}", name, part) for number, part in enumerate(parts, 1)), ()
    )


def _skip(name: str, why: str) -> Reading:
    return Reading((), (Skipped(name, why),))


def _files(root: Path) -> Iterator[Path]:
    """Links are not followed: they may lead out of the folder, or in circles."""
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _LEFT)
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES and path.is_file() and not path.is_symlink():
                yield path
