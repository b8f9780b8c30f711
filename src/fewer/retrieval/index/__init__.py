"""Indexes over sparse vectors: one interface, several ways to be fast."""
