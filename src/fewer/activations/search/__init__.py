"""Searches for what differs from layer to layer: the share of the low-rank copy, and the sparsity."""
