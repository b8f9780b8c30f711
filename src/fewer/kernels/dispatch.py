"""Which path a kernel takes: chosen once, said once, and forced by FEWER_KERNELS where a test or a user wants another."""

import logging
import os
from functools import cache
from typing import Literal, get_args

from fewer.errors import FewerError

Path = Literal["reference", "portable", "avx512", "amx", "triton"]
log = logging.getLogger("fewer.kernels")


@cache
def cpu_path() -> Path:
    """ "avx512" (numba with vector instructions) where the processor has them, "portable" (numba's plain loops) where numba
    works, else "reference" (torch); FEWER_KERNELS overrides.

    Raises:
        FewerError: when FEWER_KERNELS names no path, or one that this machine cannot take.
    """
    forced = _forced("reference", "portable", "avx512", "amx")
    if forced == "amx":  # of attention alone; what has no kernel for it takes what lies below
        forced = "avx512"
    if forced == "avx512" and not has_avx512():
        raise FewerError('FEWER_KERNELS is "avx512", which this processor does not have; allowed: reference, portable.')
    if forced:
        return forced
    try:
        import numba  # noqa: F401
    except ImportError as error:
        log.warning("numba cannot be imported (%s): kernels run on their torch reference, which is slower.", error)
        return "reference"
    return "avx512" if has_avx512() else "portable"


@cache
def attention_path() -> Path:
    """As `cpu_path`, for attention of many queries: "amx" where the processor has AMX for bfloat16 and Linux grants it.

    Raises:
        FewerError: when FEWER_KERNELS is "amx" and this machine has none.
    """
    forced, path = _forced("amx"), cpu_path()
    if path != "avx512" or os.environ.get("FEWER_KERNELS") == "avx512":
        return path
    from fewer.kernels.cpu.attention.matrix import usable

    if not usable():
        if forced:
            raise FewerError('FEWER_KERNELS is "amx", which this machine does not have; allowed: reference, portable, avx512.')
        return path
    return "amx"


@cache
def gpu_path() -> Path:
    """ "triton" where there is a CUDA device and Triton can be imported, else "reference" (torch); FEWER_KERNELS overrides.

    "triton" can be forced without a device where TRITON_INTERPRET=1 runs kernels in Triton's interpreter, on tensors of the
    CPU: for tests.

    Raises:
        FewerError: when FEWER_KERNELS names no path, or one that this machine cannot take.
    """
    import torch

    forced = _forced("reference", "triton")
    if forced == "reference":
        return forced
    if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
        if forced:
            raise FewerError('FEWER_KERNELS is "triton", but torch finds no CUDA device; allowed here: reference.')
        return "reference"
    try:
        import triton  # noqa: F401
    except ImportError as error:
        if forced:
            raise FewerError(
                f'FEWER_KERNELS is "triton", which cannot be imported ({error}): pip install "fewer[gpu]".'
            ) from error
        log.warning('Triton cannot be imported (%s): no block-sparse products on the GPU. pip install "fewer[gpu]".', error)
        return "reference"
    return "triton"


def path_on(device: str) -> Path:
    """The path of kernels on a type of device: "cpu" or "cuda"."""
    return cpu_path() if device == "cpu" else gpu_path()


def _forced(*mine: Path) -> Path | None:
    """The path that FEWER_KERNELS names, if it is one of these. Another device's path leaves this one's choice free."""
    named = os.environ.get("FEWER_KERNELS", "")
    if named not in ("", *get_args(Path)):
        raise FewerError(f'FEWER_KERNELS is "{named}"; allowed: {", ".join(get_args(Path))}, or unset.')
    return next((path for path in mine if path == named), None)


@cache
def has_avx512() -> bool:
    """Does the processor have AVX-512 F, BW and VL?"""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return all(features.get(name, False) for name in ("avx512f", "avx512bw", "avx512vl"))
