"""Decoding: one token through a whole model in one call of kernels, whatever its layers are made of."""

from fewer.decoding.fusing import fuse, fused, unfuse

__all__ = ["fuse", "fused", "unfuse"]
