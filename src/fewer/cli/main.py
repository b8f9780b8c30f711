"""The root of the command line: a table of commands, of which only the one that is used gets imported."""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from fewer import __version__

__all__ = ["main"]


class Entry(NamedTuple):
    """One command, before it is imported."""

    help: str
    """One line for `fewer --help`."""
    target: str
    """`module:attribute` of a typer app or of a function with typer's annotations."""


COMMANDS = {
    "list": Entry("Name the 37 systems and their state.", "fewer.cli.systems:list_systems"),
    "show": Entry("Say everything about one system.", "fewer.cli.systems:show"),
    "prune": Entry("Prune a model and save it.", "fewer.cli.prune:prune"),
    "accelerate": Entry("Measure what compact weights buy a model here.", "fewer.cli.accelerate:accelerate"),
    "attention": Entry("Compare and fit sparse attention.", "fewer.cli.attention:attention_app"),
    "activations": Entry("Let a model read only a part of its weights.", "fewer.cli.activations:activations_app"),
    "compare": Entry("Run a method beside its dense and random baselines.", "fewer.cli.compare:compare"),
    "report": Entry("Turn finished comparisons into a report.", "fewer.cli.compare:report"),
    "reproduce": Entry("Check the papers' claims.", "fewer.cli.reproduce:reproduce"),
    "bench": Entry("Measure speed beside other libraries.", "fewer.cli.bench:bench"),
    "index": Entry("Index texts for search.", "fewer.cli.index:index"),
    "search": Entry("Search an index.", "fewer.cli.search:search"),
    "serve": Entry("Serve a search page and an API.", "fewer.cli.serve:serve"),
    "data": Entry("Find, fetch and check data sets.", "fewer.cli.data:data_app"),
    "models": Entry("Find, fetch and check models.", "fewer.cli.data:models_app"),
    "doctor": Entry("Say what this machine has, and what to do about the rest.", "fewer.cli.doctor:doctor"),
}
MAIN_JOB = "fewer.cli.main_job:main_job"


def exists(target: str) -> bool:
    """Whether the target's module is part of this installation; its parent package is imported, it is not."""
    return find_spec(target.partition(":")[0]) is not None


def load(name: str, target: str) -> Any:
    """Import the target and make a command of that name of it."""
    module, _, attribute = target.partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name)(found)
        found = app
    command = get_command(found)
    command.name = name
    return command


class LazyGroup(TyperGroup):
    """Lists every command from the table, and imports the one that is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, entry in COMMANDS.items():
            if exists(entry.target):
                self.add_command(TyperCommand(name, help=entry.help), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Exchange the listed command for the real one."""
        name, listed, rest = super().resolve_command(ctx, args)
        if name is None or listed is None:
            return name, listed, rest
        return name, load(name, COMMANDS[name].target), rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; typer itself would say nothing when it is interrupted."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="fewer",
    cls=LazyGroup,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"fewer {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version and leave.")
    ] = False,
) -> None:
    """Sparsity with proof: every result beside its dense and its random baseline.

    Without a command, `fewer` runs its main job. `fewer COMMAND --help` explains a command.
    """
    if ctx.invoked_subcommand is None:
        if not exists(MAIN_JOB):
            print(ctx.get_help())
            return
        job = load("fewer", MAIN_JOB)
        with job.make_context("fewer", [], parent=ctx) as inner:
            job.invoke(inner)


def main() -> None:
    """Entry point of the `fewer` script. Exit codes: 0, 1 for an error, 2 for wrong usage, 130 when interrupted."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has left: the interpreter's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from fewer.errors import FewerError  # here, since fewer.core brings torch

        if not isinstance(error, FewerError):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
