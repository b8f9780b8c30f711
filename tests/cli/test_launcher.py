"""./fewer and its environment, on a copy of the checkout with a stand-in for Python, so that nothing is downloaded."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

# Answers as Python would to what the launcher asks of it, and writes each installation into a log.
PYTHON = f"""#!/bin/sh
case "$1 $2 $3" in
"-c import fcntl;"*) exec '{sys.executable}' -c "$2" ;;
"-c "*) exit 0 ;;
"-m venv "*)
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo home >"$3/pyvenv.cfg" && echo noise ;;
"-m pip --version") [ -f "${{0%/bin/python}}/pyvenv.cfg" ] ;;
"-m pip install")
    shift 3; echo noise; echo "$*" >>"$LOG"
    if [ -n "$SLOW" ]; then sleep 0.2; fi
    case "$*" in *"$BROKEN") exit 1 ;; esac
    printf '#!/bin/sh\\nprintf "%%s\\\\n" "$PWD" "$@"\\n' >"${{0%/*}}/fewer"; chmod +x "${{0%/*}}/fewer" ;;
*) exit 9 ;;
esac
"""


def heed_interrupts():
    """A test run in the background of a script ignores interrupts, and its children would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Copy:
    """A checkout with a space in its name, an environment that is not there yet, and a log of installations."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a check out"
        (self.root / "scripts").mkdir(parents=True)
        for name in ("fewer", "scripts/environment.sh", "pyproject.toml", "constraints.txt"):
            shutil.copy(CHECKOUT / name, self.root / name)
        self.log = folder / "log"
        self.tools = folder / "tools"
        self.tools.mkdir()
        (self.tools / "python3.11").write_text(PYTHON)
        (self.tools / "python3.11").chmod(0o755)
        self.env = {"PATH": f"{self.tools}:/usr/bin:/bin", "LOG": str(self.log), "SLOW": "", "BROKEN": "nothing"}

    def start(self, *args: str, program: Path | None = None, cwd: Path | None = None, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/sh", program or self.root / "fewer", *args],
            cwd=cwd or self.root,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,
        )

    def run(self, *args: str, **settings: object) -> tuple[int, str, str]:
        process = self.start(*args, **settings)  # type: ignore[arg-type]
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    @property
    def installed(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def checkout(tmp_path):
    return Copy(tmp_path)


@pytest.mark.parametrize("name", ["fewer", "test", ".ci/run", "scripts/environment.sh"])
def test_scripts_have_no_syntax_error(name):
    shell = "bash" if name == ".ci/run" else "sh"
    assert subprocess.run([shell, "-n", CHECKOUT / name], capture_output=True).stderr == b""


@pytest.mark.parametrize("name", ["fewer", "test", ".ci/run"])
def test_scripts_can_be_executed(name):
    assert os.access(CHECKOUT / name, os.X_OK)


def test_the_first_start_installs_pinned_torch_first_and_prints_only_the_commands_own_output(checkout):
    code, out, err = checkout.run("list", "two words", "*")
    assert code == 0
    assert out.splitlines() == [str(checkout.root), "list", "two words", "*"]
    pip = "-qq --disable-pip-version-check --no-input -c constraints.txt"
    assert checkout.installed == [f"{pip} torch", f"{pip} -e ."]
    assert [line[:10] for line in err.splitlines() if line.startswith("fewer: ")] == [
        "fewer: 1/3",
        "fewer: 2/3",
        "fewer: 3/3",
        "fewer: rea",
    ]


def test_later_starts_install_nothing_and_say_nothing(checkout):
    checkout.run()
    before = checkout.installed
    assert checkout.run("a")[1:] == (f"{checkout.root}\na\n", "")
    assert checkout.installed == before


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_a_change_of_the_pins_updates_the_environment_once(checkout, name):
    checkout.run()
    with (checkout.root / name).open("a") as file:
        file.write("\n# changed\n")
    _, _, err = checkout.run()
    assert "updating the environment" in err
    checkout.run()
    assert len(checkout.installed) == 4


def test_a_failed_installation_is_an_error_and_is_taken_up_again(checkout):
    code, out, err = checkout.run("a", BROKEN="-e .")
    assert (code, out) == (1, "")
    assert "installing fewer failed" in err
    assert checkout.run("a")[:2] == (0, f"{checkout.root}\na\n")


def test_an_environment_cut_off_while_it_was_made_is_made_anew(checkout):
    venv = checkout.root / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    (venv / "bin" / "python").symlink_to("/nowhere/python")
    assert checkout.run("a")[:2] == (0, f"{checkout.root}\na\n")


def test_two_starts_at_once_install_once(checkout):
    both = [checkout.start("a", SLOW="yes") for _ in range(2)]
    ends = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [out for out, _ in ends] == [f"{checkout.root}\na\n"] * 2
    assert len(checkout.installed) == 2
    assert any("waiting for it" in err for _, err in ends)


def test_an_interrupted_set_up_says_so_and_exits_130(checkout):
    process = checkout.start(SLOW="yes")
    while not checkout.installed and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "stopped" in err
    assert checkout.run()[0] == 0


def test_it_works_through_symlinks_from_another_folder_and_stays_there(checkout, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "absolute").symlink_to(checkout.root / "fewer")
    (elsewhere / "relative").symlink_to("absolute")
    code, out, _ = checkout.run("a", program=elsewhere / "relative", cwd=elsewhere)
    assert (code, out) == (0, f"{elsewhere}\na\n")
    assert (checkout.root / ".venv" / "bin" / "fewer").exists()


def test_fewer_venv_names_another_environment(checkout, tmp_path):
    code, out, _ = checkout.run("a", cwd=tmp_path, FEWER_VENV="other env")
    assert (code, out) == (0, f"{tmp_path}\na\n")
    assert (tmp_path / "other env" / "bin" / "fewer").exists()
    assert not (checkout.root / ".venv").exists()


def test_without_python_it_says_what_is_missing(checkout, tmp_path):
    code, out, err = checkout.run("list", PATH=str(tmp_path / "nothing"))
    assert (code, out) == (1, "")
    assert "no Python 3.11 or newer is on PATH" in err
    assert not (checkout.root / ".venv").exists()


def test_a_later_start_adds_less_than_a_tenth_of_a_second(checkout):
    checkout.run()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    checkout.run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # processor time, which does not depend on what else the machine does
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.1
