"""Fewer weights, activations, attended tokens, features, postings, bytes, pixels and labels - with proof that it pays."""

__version__ = "0.1.0"
