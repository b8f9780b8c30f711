"""How much the last-level cache of this machine holds: what cold data must exceed."""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from fewer.errors import MeasureError

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@cache
def last_cache_bytes() -> int:
    """Bytes of the last-level caches that the usable cores reach, summed over distinct caches.

    Virtual machines often report the whole socket's cache, of which they own a share: an upper limit, so that data
    beyond it are cold in any case.

    Raises:
        MeasureError: the operating system does not say.
    """
    size = _from_sysfs() or _from_sysconf() or _from_sysctl()
    if not size:
        raise MeasureError("the operating system does not tell its cache sizes; pass cache_bytes=, such as 32 * 2**20.")
    return size


def _from_sysfs() -> int:
    found: dict[tuple[int, str], int] = {}
    for cpu in sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []:
        folders = [f for f in Path(f"/sys/devices/system/cpu/cpu{cpu}/cache").glob("index*") if (f / "size").exists()]
        levels = [(int((f / "level").read_text()), f) for f in folders]
        if levels:
            level, folder = max(levels)
            text = (folder / "size").read_text().strip()
            found[level, (folder / "shared_cpu_list").read_text()] = int(text[:-1]) * _UNITS[text[-1]]
    return sum(found.values())


def _from_sysconf() -> int:
    for name in ("SC_LEVEL3_CACHE_SIZE", "SC_LEVEL2_CACHE_SIZE"):
        if name in getattr(os, "sysconf_names", {}) and (size := os.sysconf(name)) > 0:
            return size
    return 0


def _from_sysctl() -> int:
    if platform.system() != "Darwin":
        return 0
    for name in ("hw.l3cachesize", "hw.perflevel0.l2cachesize", "hw.l2cachesize"):
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip().isdigit() and int(done.stdout) > 0:
            return int(done.stdout)
    return 0
