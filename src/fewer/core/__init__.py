"""Score, select, apply, schedule: the step that all systems share. torch only."""

from fewer.core.allocation import (
    ALLOCATIONS,
    ERK,
    Allocation,
    ByMass,
    ERKPlus,
    Global,
    Ratios,
    Uniform,
    UniformPlus,
    parse_allocation,
)
from fewer.core.budget import Budget, Count, Density, Mass, Threshold
from fewer.core.method import Method
from fewer.core.pattern import NM, AbsTopK, Block, Pattern, Rows, Slices, Stripe, TopK, Unstructured, parse_pattern
from fewer.core.registry import method, methods, register
from fewer.core.schedule import Constant, Cosine, Cubic, Decay, Linear, Schedule, Steps
from fewer.core.scores import checked, noise, stream
from fewer.core.select import select, select_all
from fewer.core.selection import Selection, Selections
from fewer.errors import FewerError

__all__ = [
    "ALLOCATIONS",
    "ERK",
    "NM",
    "AbsTopK",
    "Allocation",
    "Block",
    "Budget",
    "ByMass",
    "Constant",
    "Cosine",
    "Count",
    "Cubic",
    "Decay",
    "Density",
    "ERKPlus",
    "FewerError",
    "Global",
    "Linear",
    "Mass",
    "Method",
    "Pattern",
    "Ratios",
    "Rows",
    "Schedule",
    "Selection",
    "Selections",
    "Slices",
    "Steps",
    "Stripe",
    "Threshold",
    "TopK",
    "Uniform",
    "UniformPlus",
    "Unstructured",
    "checked",
    "method",
    "methods",
    "noise",
    "parse_allocation",
    "parse_pattern",
    "register",
    "select",
    "select_all",
    "stream",
]
