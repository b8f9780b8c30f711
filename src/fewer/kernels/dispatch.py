"""Which path a kernel takes: chosen once, said once, and forced by FEWER_KERNELS where a test or a user wants another."""

import logging
import os
from functools import cache
from typing import Literal

from fewer.errors import FewerError

Path = Literal["reference", "portable"]
log = logging.getLogger("fewer.kernels")


@cache
def cpu_path() -> Path:
    """ "portable" (numba) where numba works, else "reference" (torch); FEWER_KERNELS overrides.

    Raises:
        FewerError: when FEWER_KERNELS names no path.
    """
    forced = os.environ.get("FEWER_KERNELS", "")
    if forced not in ("", "reference", "portable"):
        raise FewerError(f'FEWER_KERNELS is "{forced}"; allowed: reference, portable, or unset.')
    if forced:
        return forced  # type: ignore[return-value]
    try:
        import numba  # noqa: F401
    except ImportError as error:
        log.warning("numba cannot be imported (%s): kernels run on their torch reference, which is slower.", error)
        return "reference"
    return "portable"
