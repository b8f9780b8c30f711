"""The documentation that every Python carries: the language reference, and the docstrings of the standard library."""

import ast
import functools
import inspect
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fewer.data.split import held_out
from fewer.errors import DataError

SHARED = 60
"""Characters from which a paragraph counts as text that two topics share; shorter ones are phrases such as `See also:`."""

_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "turtledemo", "pydoc_data", "__pycache__"} | {
    "encodings",  # tables: a seventh of the source, hardly a word
    "distutils",  # not in every Python
    "lib2to3",
}


@dataclass(frozen=True)
class Docstring:
    """One documented module, class or function."""

    name: str
    """Qualified: `json.decoder.JSONDecoder.decode`."""
    module: str
    text: str
    """The docstring, indentation cleaned."""


def topics(test: bool) -> str:
    """The text of one part of `pydoc_data.topics`.

    Topics quote each other: `compound` holds all of `while`. So topics that share a paragraph form one group, a group goes
    into one part as a whole, and each of its paragraphs stands there once.
    """
    from pydoc_data.topics import topics as texts

    parts = [_without_repeats(texts[n] for n in group) for group in _groups(texts) if held_out(group[0]) == test]
    return "\n\n".join(parts)


def _groups(texts: dict[str, str]) -> list[list[str]]:
    """Topic names that share a paragraph, directly or through others; sorted within and among groups."""
    holders: dict[str, list[str]] = defaultdict(list)
    for name in sorted(texts):
        for paragraph in _paragraphs(texts[name]):
            if len(paragraph) >= SHARED:
                holders[paragraph].append(name)
    leader = {name: name for name in sorted(texts)}

    def first(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for names in holders.values():
        for other in names[1:]:
            low, high = sorted((first(names[0]), first(other)))
            leader[high] = low
    groups: dict[str, list[str]] = defaultdict(list)
    for name in leader:
        groups[first(name)].append(name)
    return [groups[name] for name in sorted(groups)]


def _paragraphs(text: str) -> list[str]:
    return [" ".join(block.split()) for block in text.split("\n\n")]


def _without_repeats(texts: Iterator[str]) -> str:
    seen: set[str] = set()
    kept = []
    for text in texts:
        for block in text.strip("\n").split("\n\n"):
            key = " ".join(block.split())
            if len(key) < SHARED or key not in seen:
                kept.append(block)
                seen.add(key)
    return "\n\n".join(kept)


def docstring_text(test: bool) -> str:
    """The docstrings of one part of the standard library, split by whole top-level modules; each text once.

    A text that stands in both parts is in neither.
    """
    parts: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for doc in docstrings():
        parts[held_out(doc.module.partition(".")[0])].setdefault(doc.text)
    return "\n\n".join(text for text in parts[test] if text not in parts[not test])


@functools.cache
def docstrings() -> tuple[Docstring, ...]:
    """Every docstring of the standard library's Python sources, in order of name. Sources are parsed, never imported."""
    root = Path(sysconfig.get_path("stdlib"))
    found: list[Docstring] = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if _SKIPPED.isdisjoint(place.parts):
            found += docstrings_of(path, place)
    if not found:
        raise DataError(f"python-docstrings: this Python has no library sources in {root}. Use one that has, or python-topics.")
    return tuple(sorted(found, key=lambda doc: doc.name))


def docstrings_of(path: Path, place: Path) -> Iterator[Docstring]:
    """The docstrings of one source file; `place` is its path below the folder that modules are imported from."""
    parts = place.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # templates and deliberately broken sources
        return
    yield from _in_node(tree, module, module)


def _in_node(node: ast.AST, name: str, module: str) -> Iterator[Docstring]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node, clean=False)
        if text and text.strip():
            yield Docstring(name, module, inspect.cleandoc(text))
        if isinstance(node, ast.Module | ast.ClassDef):
            for child in node.body:
                if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    yield from _in_node(child, f"{name}.{child.name}", module)
