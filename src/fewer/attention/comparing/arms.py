"""Which methods are compared, and how large they are."""

from collections.abc import Sequence
from dataclasses import replace

from fewer.attention.families.family import Family
from fewer.attention.method import SparseAttention
from fewer.attention.settings import NAMES, named
from fewer.attention.tidal import Tidal
from fewer.errors import AttentionError


def arms(names: Sequence[str] | None = None, share: float | None = None, length: int = 2048) -> dict[str, SparseAttention]:
    """Methods by name, with their own settings or with one share for all.

    Args:
        names: of `fewer.attention.NAMES`; all that are causal when None (SparseD works in denoising, where nothing is).
        share: of the keys of a prompt of `length` tokens, for those that have a number of keys, blocks, columns or pages; what
            comes of it in cells differs, and is measured. Anchor attention has a threshold instead, and keeps it.

    Raises:
        AttentionError: a name that is unknown or given twice, a method of denoising, or a share outside (0, 1].
    """
    if share is not None and not 0 < share <= 1:
        raise AttentionError(f"a share of the keys lies in (0, 1]; given: {share}.")
    if names is None:
        names = [name for name in NAMES if named(name).stage != "denoise"]
    if not names or len(set(names)) < len(names):
        raise AttentionError(f"name each method once, and at least one; given: {', '.join(names) or 'none'}.")
    return {name: _sized(named(name), share, length) for name in names}


def _sized(method: SparseAttention, share: float | None, length: int) -> SparseAttention:
    if share is None:
        return method
    if isinstance(method, Family):
        return method.with_share(share, length)
    return replace(method, keys=max(1, round(share * length))) if isinstance(method, Tidal) else method
