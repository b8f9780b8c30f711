"""`fewer doctor`: what this machine has for fewer, and what to do about the rest."""

import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import psutil
import typer

if TYPE_CHECKING:
    from fewer.data import Places

__all__ = ["doctor"]

GIB = 2**30


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    """What is there."""
    todo: str = ""
    """What to do about it; empty when nothing needs doing."""
    needed: bool = False
    """Whether fewer cannot work without it."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to standard output.")] = False,
) -> None:
    """Say what this machine has, and what to do about the rest. Exits with 1 when fewer cannot work here."""
    checks = list(examine())
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        print_checks(checks)
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(1)


def examine() -> Iterator[Check]:
    """All checks, the machine first."""
    yield python()
    yield cores()
    yield memory()
    torch = torch_build()
    yield torch
    yield from extras()
    if torch.ok:
        yield kernels()
        yield from folders()


def python() -> Check:
    ok = sys.version_info >= (3, 11)
    return Check("python", ok, f"{platform.python_version()} in {sys.prefix}", "" if ok else "Install Python 3.11.", True)


def cores() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("cores", True, f"{usable} usable, {platform.machine()}")


def memory() -> Check:
    seen = psutil.virtual_memory()
    ok = seen.available >= 4 * GIB
    found = f"{seen.available / GIB:.1f} GiB free of {seen.total / GIB:.1f} GiB"
    return Check("memory", ok, found, "" if ok else "Close other programs, or stay with --scale smoke.")


def torch_build() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that it was built against is missing
        return Check("torch", False, f"does not import: {error}", f"{pip()} --force-reinstall torch", True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU only"
    return Check("torch", True, f"{torch.__version__}, {device}, {torch.get_num_threads()} threads", needed=True)


def extras() -> Iterator[Check]:
    """Every optional group of dependencies of this installation, and what of it is missing."""
    requirements = metadata("fewer").get_all("Requires-Dist") or []
    for extra in metadata("fewer").get_all("Provides-Extra") or []:
        names = [re.split(r"[^\w.-]", line)[0] for line in requirements if re.search(rf"extra == ['\"]{extra}['\"]", line)]
        missing = [name for name in names if not is_installed(name)]
        if missing:
            yield Check(f"extra {extra}", False, f"without {', '.join(missing)}", f"{pip()} -e '.[{extra}]'")
        else:
            yield Check(f"extra {extra}", True, ", ".join(names))


def is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def kernels() -> Check:
    """The paths that kernels take. Compiles those of the CPU, which are kept, so that no one has to wait for them later."""
    import torch

    from fewer.errors import FewerError
    from fewer.kernels.dispatch import cpu_path, gpu_path

    try:
        cpu, gpu = cpu_path(), f"; {gpu_path()} on the GPU" if torch.cuda.is_available() else ""
    except FewerError as error:
        return Check("kernels", False, str(error), "Correct or unset the variable.", True)
    if cpu == "reference":
        return Check("kernels", False, "torch references on the CPU", f"{pip()} numba, and unset FEWER_KERNELS.")
    from fewer.kernels.cpu.table import FILES, kernel

    for form in FILES:
        kernel(form, cpu)
    return Check("kernels", True, f"{cpu} on the CPU, {len(FILES)} compiled{gpu}")


def pip() -> str:
    """The beginning of a command that installs into this environment."""
    return f"In the checkout: '{sys.executable}' -m pip install -c constraints.txt"


def folders() -> Iterator[Check]:
    """The user's data folder, the caches, and the models that need no download."""
    # Not above: these bring torch, and a torch that does not import is something to report.
    from fewer.data import Places
    from fewer.errors import DataError

    try:
        places = Places.find()
    except DataError as error:
        yield Check("folders", False, str(error), "Correct or unset the variable.", True)
        return
    yield data_folder(places.data)
    yield cache("cache", places.cache, "FEWER_CACHE")
    yield cache("hub cache", Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"), "HF_HOME")
    yield from models(places)


def models(places: "Places") -> Iterator[Check]:
    """Whether each model is on this machine."""
    from fewer.data.model_table import MODELS
    from fewer.data.obtain import on_this_machine
    from fewer.errors import DataError

    for name, entry in MODELS.items():
        try:
            found = on_this_machine(entry, places, [])
        except DataError as error:
            yield Check(f"model {name}", False, str(error), f"fewer models get {name}")
            continue
        if found:
            yield Check(f"model {name}", True, f"in the {found.source}")
        else:
            yield Check(f"model {name}", False, f"not here yet, {entry.size / 1e6:.0f} MB", f"fewer models get {name}")


def data_folder(folder: Path | None) -> Check:
    from fewer.data import SETS

    if folder is None:
        todo = "Nothing for the embedded data; name a folder of data sets in FEWER_DATA for sharper results."
        return Check("data folder", True, "FEWER_DATA is not set", todo)
    there = [name for name, entry in SETS.items() if entry.files and all((folder / f.path).exists() for f in entry.files)]
    return Check("data folder", bool(there), f"{len(there)} data sets in {folder}", "" if there else "See `fewer data list`.")


def cache(name: str, folder: Path, variable: str) -> Check:
    """Whether downloads can be kept in the folder that the environment variable names, or in its default."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        return Check(name, False, f"{folder} cannot be written", f"Make {there} writable, or name another in {variable}.")
    ok = free >= GIB
    return Check(name, ok, f"{folder}, {free / GIB:.0f} GiB free", "" if ok else "Make room: downloads need about 1 GiB.")


def print_checks(checks: list[Check]) -> None:
    """A line for each check, with what to do under it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for check in checks:
        mark = Text("ok", "green") if check.ok else Text("no", "red") if check.needed else Text("-", "yellow")
        table.add_row(mark, check.name, Text(check.found))
        if check.todo:
            table.add_row("", "", Text(check.todo, "dim"))
    Console(highlight=False).print(table)
