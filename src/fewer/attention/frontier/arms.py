"""The arms of the study: every family with its twins and oracles, each in its own phase."""

from typing import cast

from fewer.attention.dense import DenseAttention
from fewer.attention.families.ada_snapkv import AdaSnapKV
from fewer.attention.families.block import BlockAttention
from fewer.attention.families.family import Family
from fewer.attention.families.flex_prefill import FlexPrefill
from fewer.attention.families.local import LocalAttention
from fewer.attention.families.oracle_blocks import OracleBlocks
from fewer.attention.families.oracle_tokens import OracleTokens
from fewer.attention.families.quest import Quest
from fewer.attention.families.snapkv import SnapKV
from fewer.attention.families.vertical_slash import VerticalSlashAttention
from fewer.attention.method import SparseAttention

TWINS = {
    "random": "block",
    "random-vertical-slash": "vertical-slash",
    "random-pages": "quest",
    "random-snapkv": "snapkv",
}
"""Random arm -> the arm whose twin it is."""

ORACLES = ("oracle-blocks", "oracle-tokens", "oracle-tokens-prefill")


def published() -> dict[str, SparseAttention]:
    """With the published details; budgets are set by the density that is asked for."""
    return _arms(VerticalSlashAttention(), FlexPrefill(), BlockAttention(), Quest(), SnapKV(), AdaSnapKV(), OracleBlocks())


def for_bytes(length: int = 256) -> dict[str, SparseAttention]:
    """For small networks on short texts: windows, forced parts, blocks and pages shrink with the length."""
    near, window, size = max(1, length // 32), length // 4, max(4, length // 32)
    lines = {"window": window, "sinks": 2, "nearest": near}
    snap = {"capacity": length, "window": window // 2, "kernel": 5, "local": near, "prefix": 2}
    return _arms(
        VerticalSlashAttention(**lines),
        FlexPrefill(**lines),
        BlockAttention(size=size),
        Quest(page=size),
        SnapKV(**snap),
        AdaSnapKV(**snap),
        OracleBlocks(size=size),
    )


def _arms(
    vertical_slash: Family,
    flex_prefill: Family,
    block: Family,
    quest: Family,
    snapkv: Family,
    ada_snapkv: Family,
    oracle_blocks: Family,
) -> dict[str, SparseAttention]:
    real: dict[str, SparseAttention] = {
        "vertical-slash": vertical_slash,
        "flex-prefill": flex_prefill,
        "block": block,
        "quest": quest,
        "snapkv": snapkv,
        "ada-snapkv": ada_snapkv,
        "window-prefill": LocalAttention(when="prefill"),
        "window": LocalAttention(when="decode"),
    }
    return {
        "dense": DenseAttention(),
        **real,
        "oracle-blocks": oracle_blocks,
        "oracle-tokens-prefill": OracleTokens(when="prefill"),
        "oracle-tokens": OracleTokens(when="decode"),
        **{name: cast("SparseAttention", real[of].random_twin()) for name, of in TWINS.items()},
    }


def phase_of(method: SparseAttention) -> str:
    """prefill or decode: where the method acts."""
    when = getattr(method, "when", "")
    return when if when in ("prefill", "decode") else "decode" if method.stage == "decode" else "prefill"
