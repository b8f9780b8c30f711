"""Which path a kernel takes: chosen once, said once, and forced by FEWER_KERNELS where a test or a user wants another."""

import logging
import os
from functools import cache
from typing import Literal, get_args

from fewer.errors import FewerError

Path = Literal["reference", "portable", "avx512"]
log = logging.getLogger("fewer.kernels")


@cache
def cpu_path() -> Path:
    """ "avx512" (numba with vector instructions) where the processor has them, "portable" (numba's plain loops) where numba
    works, else "reference" (torch); FEWER_KERNELS overrides.

    Raises:
        FewerError: when FEWER_KERNELS names no path, or one that this machine cannot take.
    """
    forced = os.environ.get("FEWER_KERNELS", "")
    if forced not in ("", *get_args(Path)):
        raise FewerError(f'FEWER_KERNELS is "{forced}"; allowed: {", ".join(get_args(Path))}, or unset.')
    if forced == "avx512" and not has_avx512():
        raise FewerError('FEWER_KERNELS is "avx512", which this processor does not have; allowed: reference, portable.')
    if forced:
        return forced  # type: ignore[return-value]
    try:
        import numba  # noqa: F401
    except ImportError as error:
        log.warning("numba cannot be imported (%s): kernels run on their torch reference, which is slower.", error)
        return "reference"
    return "avx512" if has_avx512() else "portable"


@cache
def has_avx512() -> bool:
    """Does the processor have AVX-512 F, BW and VL?"""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return all(features.get(name, False) for name in ("avx512f", "avx512bw", "avx512vl"))
