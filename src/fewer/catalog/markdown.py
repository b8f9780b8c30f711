"""The table of systems in the README, made from the catalog: `python -m fewer.catalog.markdown README.md`."""

import sys
from pathlib import Path

from fewer.catalog import systems
from fewer.files import write_whole

START, END = "<!-- systems -->", "<!-- /systems -->"


def table() -> str:
    """All systems as a Markdown table: name, paper, what it gives a user, status."""
    rows = ["| system | domain | what it gives you | status |", "|---|---|---|---|"]
    for entry in systems():
        paper = f"[{entry.slug}](https://arxiv.org/abs/{entry.paper})"
        rows.append(f"| {paper} | {entry.domain} | {entry.summary} | {entry.status} |")
    return "\n".join(rows)


def with_table(text: str) -> str:
    """`text` with what stands between the two marks replaced by the table; ValueError when a mark is missing."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"the text needs the lines {START} and {END}, in this order")
    return f"{before}{START}\n{table()}\n{END}{after}"


def rewrite(path: Path) -> None:
    """Bring the table in the file up to date, in one step."""
    write_whole(path, with_table(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        rewrite(Path(name))
