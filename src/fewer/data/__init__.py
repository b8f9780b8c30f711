"""Data sets and models by name: verified files, fixed splits, plain values. Nothing heavy is imported before it is needed."""

from fewer.data.loading import load
from fewer.data.obtain import Found, is_available, obtain
from fewer.data.places import Places
from fewer.data.sets import SETS

__all__ = ["SETS", "Found", "Places", "is_available", "load", "obtain"]
