"""Texts become vectors: learned sparse ones, dense ones, and a cache that makes none twice."""
