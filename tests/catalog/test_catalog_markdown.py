"""The README's table of systems."""

import subprocess
import sys
from pathlib import Path

import pytest

from fewer.catalog import systems
from fewer.catalog.markdown import END, START, rewrite, table, with_table

README = Path(__file__).parents[2] / "README.md"


def test_the_table_has_a_row_for_each_system_with_as_many_cells_as_the_head():
    head, rule, *rows = table().splitlines()
    assert [row.split("]")[0].removeprefix("| [") for row in rows] == [entry.slug for entry in systems()]
    assert {line.count("|") for line in (head, rule, *rows)} == {5}


def test_the_rest_of_the_text_stays(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"# before\n{START}\nold\n{END}\nafter\n", encoding="utf-8")
    rewrite(path)
    assert path.read_text(encoding="utf-8") == f"# before\n{START}\n{table()}\n{END}\nafter\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", START, END, f"{END}\n{START}"])
def test_a_text_without_both_marks_is_refused(text):
    with pytest.raises(ValueError, match="needs the lines"):
        with_table(text)


def test_the_module_rewrites_a_file(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"{START}{END}", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "fewer.catalog.markdown", path], check=True)
    assert table() in path.read_text(encoding="utf-8")


def test_the_readme_holds_the_present_table():
    text = README.read_text(encoding="utf-8")
    assert START not in text or text == with_table(text)
