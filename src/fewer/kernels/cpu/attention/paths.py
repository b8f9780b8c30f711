"""The three ways to compile an attention kernel: AMX, AVX-512, and what every processor has.

A driver is written once, in plain functions that call `begin`, `pack`, `absorb` and others by the names of `softmax`.
Here these names are bound to those of a path, and the whole is compiled. Functions are not handed over as arguments: numba
cannot keep in its cache what holds their addresses.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

from numba import cfunc, njit

from fewer.kernels.cpu.attention import matrix_softmax, softmax
from fewer.kernels.cpu.team import KERNEL

_COMMON = ("enter", "leave", "begin", "pack", "finish", "state_bytes", "chunk_bytes", "scratch_bytes")


def compiled(path: str, *functions: Callable) -> Any:
    """A C function for `team.run` of the last of `functions`, which takes the address of a job; each calls those before it."""
    module: Any = matrix_softmax if path == "amx" else softmax
    names: dict[str, Any] = {name: getattr(module, name) for name in _COMMON}
    if path == "amx":
        names["absorb"] = matrix_softmax.absorb
    else:
        wide = path == "avx512"
        names["multiply"] = softmax.vector_multiply if wide else softmax.plain_multiply
        names["combine"] = softmax.vector_combine if wide else softmax.plain_combine
        functions = (softmax.absorb_one, softmax.absorb, *functions)
    for function in functions:
        names[function.__name__] = njit(_bound(function, path, names))
    names["work"] = names[functions[-1].__name__]
    return cfunc(KERNEL, cache=True)(_bound(_attention, f"{functions[-1].__name__}_{path}_{_digest()}", names))


@cache
def _digest() -> str:
    """Of the sources: numba would run what it kept of older ones."""
    here = Path(__file__).parent
    sources = [*sorted(here.glob("*.py")), *(here.parent / f"{name}.py" for name in ("lanes", "short_lanes", "team"))]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]


def _attention(job):
    work(job)  # type: ignore[name-defined] # noqa: F821 - bound above


def _bound(function: Callable, mark: str, names: dict[str, Any]) -> Any:
    """The function with some of its global names bound anew, under a name of its own in numba's cache."""
    code: Any = function.__code__
    made = FunctionType(code, {**function.__globals__, **names}, function.__name__)
    made.__qualname__ = f"{function.__name__}_{mark}"
    made.__module__ = function.__module__
    return made
