"""The root command: its table, its exit codes, and that it is quick."""

import resource
import signal
import subprocess
import sys
from textwrap import dedent

import pytest

from fewer import __version__
from fewer.cli.main import COMMANDS, exists, load

FEWER = [sys.executable, "-c", "from fewer.cli import main; main()"]

# Runs the command line with one more command, `fake`, and with a main job.
FAKE = """
import sys
from fewer.cli import main
root = sys.modules["fewer.cli.main"]
root.COMMANDS["fake"] = root.Entry("A fake.", "fake_command:fake")
root.MAIN_JOB = "fake_command:job"
main()
"""


@pytest.fixture
def fake(tmp_path):
    """Runs the command line with a command `fake` whose module has the given body; returns the running process."""

    def start(body, *args):
        (tmp_path / "fake_command.py").write_text(dedent(body), encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, "-c", FAKE, *args],
            env={"PYTHONPATH": str(tmp_path), "PATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a test run in the background of a script ignores interrupts, and its children would too
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start


def run(*args):
    done = subprocess.run([*FEWER, *args], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_version():
    assert run("--version") == (0, f"fewer {__version__}\n", "")


def test_help_lists_the_commands_that_are_installed():
    code, out, _ = run("--help")
    assert code == 0
    for name, entry in COMMANDS.items():
        assert (f"  {name} " in out) == exists(entry.target)


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["list", "--help"]])
def test_help_is_quick_and_loads_nothing_heavy(args):
    heavy = "import sys; heavy = {'torch', 'numpy', 'transformers', 'sklearn', 'plotly', 'rich'} & set(sys.modules)"
    code = f"try:\n  from fewer.cli import main; main()\nfinally:\n  {heavy}; assert not heavy, heavy"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, *args], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # processor time, which does not depend on what else the machine does
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize("name", [name for name, entry in COMMANDS.items() if exists(entry.target)])
def test_every_installed_command_loads_under_its_name(name):
    assert load(name, COMMANDS[name].target).name == name


def test_an_unknown_command_names_the_nearest_and_exits_2():
    code, out, err = run("lsit")
    assert (code, out) == (2, "")
    assert "No such command 'lsit'. Did you mean 'list'?" in err


def test_a_missing_argument_exits_2():
    code, out, err = run("show")
    assert (code, out) == (2, "")
    assert "Missing argument" in err


def test_help_does_not_import_a_command(fake):
    out, err = fake("raise SystemExit('imported')", "--help").communicate()
    assert "  fake " in out
    assert err == ""


def test_a_command_is_imported_when_it_is_called_and_may_set_the_exit_code(fake):
    process = fake("import typer\ndef fake(n: int): print(n + 1); raise typer.Exit(3)", "fake", "4")
    assert process.communicate() == ("5\n", "")
    assert process.returncode == 3


def test_a_command_may_be_a_group(fake):
    body = """
    import typer
    fake = typer.Typer()
    @fake.command()
    def one(): print("one")
    @fake.command()
    def two(): print("two")
    """
    assert fake(body, "fake", "two").communicate() == ("two\n", "")


def test_without_arguments_the_main_job_runs(fake):
    assert fake("def job(budget: float = 0.5): print('job', budget)").communicate() == ("job 0.5\n", "")


def test_an_error_of_ours_is_one_message_and_exit_code_1(fake):
    body = "from fewer.errors import BudgetError\ndef fake(): raise BudgetError('too much. Use less.')"
    process = fake(body, "fake")
    assert process.communicate() == ("", "error: too much. Use less.\n")
    assert process.returncode == 1


def test_any_other_exception_keeps_its_traceback(fake):
    process = fake("def fake(): raise KeyError('a fault')", "fake")
    _, err = process.communicate()
    assert err.startswith("Traceback") and err.endswith("KeyError: 'a fault'\n")
    assert process.returncode == 1


def test_an_interrupt_says_stopped_and_exits_130(fake):
    process = fake("import time\ndef fake(): print('here', flush=True); time.sleep(60)", "fake")
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "stopped\n")
    assert process.returncode == 130


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at the end", "midway"])
def test_a_reader_that_leaves_is_no_error(fake, lines):
    process = fake(f"import time\ndef fake(): time.sleep(0.3); print('line\\n' * {lines})", "fake")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1
