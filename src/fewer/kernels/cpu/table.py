"""The kernels by form and path; each is compiled when it is first asked for, and kept on disk by numba."""

from functools import cache
from importlib import import_module
from typing import Any

FILES = {"dense": "dense", "2:4": "two_four", "bitmask": "bitmask", "sliced": "sliced", "strips": "strips"}
"""Form -> the file of its kernel."""


@cache
def kernel(form: str, path: str) -> Any:
    """The compiled product of a form ("2:4", "bitmask", ...) on a path ("avx512", "portable")."""
    return getattr(import_module(f"fewer.kernels.cpu.{FILES[form]}"), path)()
