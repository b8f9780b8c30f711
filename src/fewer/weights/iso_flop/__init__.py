"""Sparse iso-FLOP transformations (Thangarasa et al. 2023, arXiv 2303.11525): larger, sparser layers, equal FLOPs.

`transform` is `fewer.iso_flop`; `wide`, `parallel`, `factorized` and `doped` are the four kinds, `sizes` how large each gets,
`budget` how many of its weights are active. `accounting` says what it costs, `ramanujan` how well its masks connect.
"""
