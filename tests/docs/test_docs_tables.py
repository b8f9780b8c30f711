"""Tables and commands in the pages hold what the code holds."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from fewer.catalog.markdown import with_table
from fewer.claims.claim import Claim, Setting, reproduce
from fewer.cli.data import entries, state
from fewer.cli.main import COMMANDS
from fewer.compare.lessons import QUESTIONS
from fewer.compare.result import Results
from fewer.compare.rules import lower
from fewer.compare.task import Measurement, Task
from fewer.core import ALLOCATIONS, parse_pattern
from fewer.core.registry import GROUP
from fewer.measure.benchmark import Point
from fewer.weights.methods import Dense, Magnitude, Random

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *PAGES]}


def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def section(page, heading):
    """A page's text from a heading to the next of its level."""
    return TEXTS[page].partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def first_column(text):
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def shell_lines():
    for name, text in TEXTS.items():
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            yield from ((name, line) for line in block.splitlines() if re.match(r"(\./)?fewer\b", line))


@pytest.mark.parametrize(("page", "line"), [*shell_lines()])
def test_a_command_in_a_page_is_one_that_the_command_line_takes(page, line):
    _, *words = shlex.split(line, comments=True)
    if not words or words == ["--version"]:
        return
    depth = 2 if words[0] in ("attention", "activations", "data", "models") else 1
    hooks().command(" ".join(words[:depth])).make_context(words[depth - 1], words[depth:])


def test_the_page_on_commands_has_each_of_them():
    assert re.findall(r"^## fewer (\w+)$", TEXTS["docs/cli.md"], re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("page", [page for page, text in TEXTS.items() if re.search(r"<!-- (options|table): ", text)])
def test_every_mark_becomes_a_table(page):
    marks = re.findall(r"<!-- (?:options|table): .+ -->", TEXTS[page])
    text = hooks().on_page_markdown(TEXTS[page])
    assert text.count("\n|---|") - TEXTS[page].count("\n|---|") == len(marks)
    assert not re.search(r"<!-- (options|table): ", text)


def test_the_option_table_has_names_meanings_and_defaults():
    rows = hooks().options("prune").splitlines()
    assert "| `--sparsity` | Share of the weights that is dropped, in [0, 1]. | `0.5` |" in rows
    assert {row.count("|") for row in rows} == {4}


def test_the_readme_holds_the_present_table_of_systems():
    assert TEXTS["README.md"] == with_table(TEXTS["README.md"])


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_to_files_that_exist(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if not target.startswith(("http://", "https://", "#")):
            assert (ROOT / page).parent.joinpath(target.partition("#")[0]).exists(), target


def test_the_patterns_are_spelled_as_the_code_spells_them():
    spelled = first_column(section("docs/concepts.md", "Patterns"))
    assert len(spelled) == 12
    assert [str(parse_pattern(text)) for text in spelled if not text.startswith("stripe")] == [
        text for text in spelled if not text.startswith("stripe")
    ]


def test_the_allocations_are_all_there():
    assert first_column(section("docs/concepts.md", "Allocations")) == list(ALLOCATIONS)


def test_the_ten_questions_are_the_cards():
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", section("docs/comparisons.md", "The ten-lessons card"), re.MULTILINE)
    assert {int(number): question for number, question in rows} == QUESTIONS


def test_the_entry_point_group_is_the_registrys():
    fragment = re.search(r"^```toml\n(.*?)^```", TEXTS["docs/add-a-method.md"], re.MULTILINE | re.DOTALL)[1]
    assert list(tomllib.loads(fragment)["project"]["entry-points"]) == [GROUP]


def test_the_fields_of_list():
    out = subprocess.run(
        [sys.executable, "-c", "from fewer.cli import main; main()", "list", "--json"], capture_output=True, check=True
    ).stdout
    assert {tuple(system) for system in json.loads(out)} == {
        tuple(first_column(section("docs/interface.md", "fewer list --json")))
    }


def test_the_fields_of_bench():
    assert first_column(section("docs/interface.md", "fewer bench --json")) == [field.name for field in fields(Point)]


def test_the_fields_of_compare():
    documented = first_column(section("docs/interface.md", "fewer compare --json, results.json"))
    assert documented == [field.name for field in fields(Results)]


def test_the_fields_of_data_list():
    documented = first_column(section("docs/interface.md", "fewer data list --json, fewer models list --json"))
    assert documented == list(state(entries("data")["digits"], None))


@dataclass(frozen=True)
class Fixed(Task):
    """Quality that depends on the arm alone, with a little of the seed in it."""

    @property
    def quality(self):
        return {"loss": "lower"}

    @property
    def data(self):
        return "none"

    def measure(self, method, budget, seed):
        return Measurement({"loss": len(method.slug) + 0.01 * seed}, {"latency_ms": 1.0})


def test_the_fields_of_reproduce():
    claim = Claim(
        system="made-up",
        says="Random is lower than magnitude.",
        paper="none",
        arms={"dense": Dense(), "random": Random(), "magnitude": Magnitude()},
        settings={"smoke": Setting(Fixed, budgets=(0.5,))},
        rule=lambda setting: lower("loss", "random", than="magnitude", at=[0.5]),
        method="magnitude",
    )
    found = reproduce(claim, "smoke").to_dict()
    text = section("docs/interface.md", "fewer reproduce --json")
    outer, inner = text.split("A row has")
    assert first_column(outer) == list(found)
    assert {tuple(row) for row in found["rows"]} == {tuple(first_column(inner))}
    assert {name: list(interval) for name, interval in found["effect"].items()} == {
        name: ["mean", "low", "high"] for name in ("vs_dense", "vs_random")
    }
    assert found["verdict"] == "confirmed"
