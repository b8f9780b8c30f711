"""The Python of the README and of every page runs, and its sessions print what they say."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?:(python|pycon)| \{ \.(python) \})\n(.*?)^```", re.MULTILINE | re.DOTALL)
INCLUDE = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


def blocks(page):
    """(language, code) of each block. Those that include a file are fenced as `{ .python }`, which ruff does not format."""
    return [
        (kind or included, INCLUDE.sub(lambda name: (ROOT / name[1]).read_text(encoding="utf-8"), code))
        for kind, included, code in BLOCK.findall(page.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_from_top_to_bottom(
    page, tmp_path, monkeypatch, own_registry, one_thread, short_digits, tiny_models
):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    for number, (kind, code) in enumerate(blocks(page), 1):
        where = f"{page.name}, block {number}"
        if kind == "python":
            exec(compile(code, where, "exec"), names)
        else:
            session = doctest.DocTestParser().get_doctest(code, names, where, None, 0)
            said = []
            assert doctest.DocTestRunner().run(session, out=said.append, clear_globs=False).failed == 0, "".join(said)
            names.update(session.globs)


def test_the_quick_start_of_the_readme_and_of_the_site_are_both_there():
    assert {
        "README",
        "index",
        "concepts",
        "decoding",
        "pruning",
        "comparisons",
        "data",
        "random-search",
        "search",
        "feedback",
        "sizing",
        "training",
        "add-a-method",
        "lazy-neuron",
        "activations",
        "attention",
        "sparse-frontier",
        "tidaldecode",
        "sparsed",
    } == {page.stem for page in PAGES if blocks(page)}
