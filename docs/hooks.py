"""A hook of mkdocs: marks in a page become tables of what the package says itself, so that they cannot fall behind it.

`<!-- options: COMMAND -->` is a command's arguments and options; `<!-- table: NAME -->` one of TABLES.
"""

import re
from collections.abc import Callable
from typing import Any

from fewer.catalog.markdown import table as systems
from fewer.cli.main import COMMANDS, load
from fewer.comparing import TASKS
from fewer.data.entry import Entry
from fewer.data.model_table import MODELS
from fewer.data.sets import SETS

MARK = re.compile(r"<!-- (options|table): (.+?) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page. Raises KeyError for a mark that names nothing."""
    return MARK.sub(lambda mark: options(mark[2]) if mark[1] == "options" else TABLES[mark[2]](), markdown)


def command(words: str) -> Any:
    """The command that `words` name, such as "prune" or "data get". Raises KeyError when there is none."""
    name, *rest = words.split()
    found = load(name, COMMANDS[name].target)
    for word in rest:
        found = found.commands[word]
    return found


def options(words: str) -> str:
    """The parameters of a command as a Markdown table."""
    rows = ["| option | meaning | default |", "|---|---|---|"]
    for parameter in command(words).params:
        names = [*parameter.opts, *parameter.secondary_opts]
        spelled = ", ".join(f"`{name if name.startswith('-') else name.upper()}`" for name in names)
        meaning, _, said = (parameter.help or "").partition("  [default: ")
        default = _escaped(said.rstrip("]")) or ("required" if parameter.required else _default(parameter.default))
        rows.append(f"| {spelled} | {_escaped(meaning)} | {default} |")
    return "\n".join(rows)


def _default(value: Any) -> str:
    if value is None or value is False or value == []:
        return ""
    return "on" if value is True else f"`{value}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _entries(group: dict[str, Entry]) -> str:
    rows = ["| name | kind | what it is | size | sources | licence |", "|---|---|---|---|---|---|"]
    for entry in group.values():
        size = f"{entry.size / 1e6:.1f} MB" if entry.size else ""
        sources = ", ".join((["your folder"] if entry.files else []) + [source.kind for source in entry.sources])
        cells = (f"`{entry.name}`", entry.kind, entry.about, size, sources, entry.licence)
        rows.append(f"| {' | '.join(_escaped(cell) for cell in cells)} |")
    return "\n".join(rows)


def _tasks() -> str:
    return "\n".join(["| task | what it is |", "|---|---|", *(f"| `{name}` | {about} |" for name, about in TASKS.items())])


TABLES: dict[str, Callable[[], str]] = {
    "systems": systems,
    "tasks": _tasks,
    "data sets": lambda: _entries(SETS),
    "models": lambda: _entries(MODELS),
}
