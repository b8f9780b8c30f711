"""Sparse attention that plugs into transformers models, beside its dense and its random twin."""
