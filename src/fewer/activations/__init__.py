"""Sparse activations: linear layers that skip the inputs that hardly matter, and how few neurons of a network fire at all."""
