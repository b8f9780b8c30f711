"""The page on the architecture says what the imports are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "fewer"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = {
    name: {word.strip() for word in imports.split(",") if word.strip()}
    for name, imports in re.findall(r"^\| `(\w+)` \| [^|]+ \|([^|\n]*)\|$", PAGE, re.MULTILINE)
}
UPWARD = {("compare/__init__.py", "comparing"), ("measure/environment.py", "__version__")}
"""What the page names as the exceptions."""


def imported(path):
    """Rooms that a file imports from, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"fewer.{alias.name}" for alias in node.names] if node.module == "fewer" else [node.module]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "fewer":
                yield rest.partition(".")[0] or "__version__"  # `import fewer` is only ever for its version


def files(room):
    return sorted((SOURCE / room).rglob("*.py")) if (SOURCE / room).is_dir() else [SOURCE / f"{room}.py"]


def test_the_table_names_every_room_that_exists():
    there = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(ROOMS) == there - {"__init__"}


def test_no_planned_room_exists():
    planned = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", PAGE.partition("## What is planned")[2], re.MULTILINE)
    assert "features" in planned
    assert not [room for room in planned if (SOURCE / room).exists()]


def test_the_picture_has_every_room_above_what_it_imports():
    drawn = re.search(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1].splitlines()
    height = {room: -row for row, line in enumerate(drawn) for room in line[:32].split()}
    assert set(height) == set(ROOMS)
    assert [(room, other) for room, below in ROOMS.items() for other in below if height[other] >= height[room]] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_table_says(room):
    wrong = {
        (path.relative_to(SOURCE).as_posix(), other)
        for path in files(room)
        for other in imported(path)
        if other not in ROOMS[room] | {room}
    }
    assert wrong - UPWARD - {("cli/main.py", "__version__")} == set()
