"""Weights on disk without their zeros, in the layout that compressed-tensors 0.3 to 0.14 read and wrote."""
