"""What a result was measured on, written beside it."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import fewer
from fewer.measure.latency import threads

_PACKAGES = ("torch", "transformers", "numpy", "scipy", "numba")


def environment() -> dict[str, Any]:
    """Versions, machine and commit, ready for JSON. Holds no user, host or path.

    Fields: python, platform (system and processor architecture), processor, cores (usable), threads (of one operator),
    memory_bytes, versions {package: version or null}, commit and changed (of the checkout that fewer runs from; null
    when it is installed), gpu {name, memory_bytes, count} or null.
    """
    import psutil

    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "versions": {"fewer": fewer.__version__} | {package: _version(package) for package in _PACKAGES},
        **_commit(),
        "gpu": _gpu(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> dict[str, Any]:
    package = Path(fewer.__file__).resolve().parent
    top = _output("git", "-C", str(package), "rev-parse", "--show-toplevel")
    # An installed copy may lie inside someone else's repository, whose commit says nothing about it.
    if not top or Path(top).resolve() / "src" / "fewer" != package:
        return {"commit": None, "changed": None}
    changed = _output("git", "-C", top, "status", "--porcelain", "--", "src")
    return {"commit": _output("git", "-C", top, "rev-parse", "HEAD") or None, "changed": bool(changed)}


def _gpu() -> dict[str, Any] | None:
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "count": torch.cuda.device_count(),
    }


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
