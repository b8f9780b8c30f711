"""The kernels by form and path; each is compiled when it is first asked for, and kept on disk by numba."""

from functools import cache
from importlib import import_module
from typing import Any


@cache
def kernel(form: str, path: str) -> Any:
    """The compiled product of a form ("2:4", "bitmask", ...) on a path ("avx512", "portable")."""
    name = {"2:4": "two_four"}.get(form, form)
    return getattr(import_module(f"fewer.kernels.cpu.{name}"), path)()
