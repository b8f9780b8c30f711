"""The families that The Sparse Frontier (arXiv 2504.17768) brought to one footing, with the oracles they are held against.

`family.py` says what they share. In prefilling: vertical-slash, blocks, FlexPrefill. In decoding: Quest, SnapKV, Ada-SnapKV. A
local window with sinks, and the oracle of tokens, work in both.
"""
